"""Dosimeter's Celery worker: claims work, runs it in a child process, reports what came out."""
