"""What clients of OpenAI's API speak: their requests become tasks, tasks their answers (platform.openai.com/docs)."""
