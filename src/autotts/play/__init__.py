"""Episodes to watch: recorded questions, a served model, folders of results, in a browser.

traces.py    an episode, action by action, for the page
recorded.py  the questions of stores, and episodes on them on demand
page.py      the page; its parts are in assets
server.py    what is answered to the page
folder.py    what a folder holds that can be looked at
trace_file.py  the file of a live episode's trace, read while it grows
viewer.py    what is answered to the page of a folder
"""
