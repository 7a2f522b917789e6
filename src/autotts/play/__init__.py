"""Episodes to watch: recorded questions, played again in a browser.

traces.py    an episode, action by action, for the page
recorded.py  the questions of stores, and episodes on them on demand
page.py      the page; its parts are in assets
server.py    what is answered to the page
"""
