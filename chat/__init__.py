"""Sessions and messages; every reply is a task. Of the other apps it sees only ai_tasks."""
