"""A controller behind an OpenAI-compatible endpoint, with beta as the knob.

body.py        what a request may say; what it must not, by name
deployment.py  what is served: controllers, betas, limits, prices
formats.py     how answers are read
turns.py       whose turn it is: limits, fair queues
answering.py   one request answered: a live episode, its text and what it cost
tracing.py     the trace of an episode while it goes on
replies.py     answers as OpenAI's objects and streams
metrics.py     what is counted
app.py         the routes
"""
