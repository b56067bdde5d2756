"""The web server: gunicorn's processes, h11's HTTP, and threads that see whole requests only.

gunicorn's own workers give a thread to a client as soon as he begins to speak, and let him speak as
slowly as he likes: 140 sockets that send a byte every 9 s kept all the threads. Here an event loop
talks to the clients, each within a time, and what it has of them is on the disk, not in memory. A
thread gets a request when all of it is there, and is free when its answer is written down.
"""
