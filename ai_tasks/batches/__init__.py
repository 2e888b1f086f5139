"""Files of requests and of their answers, and the batches between them, as rows; ai_tasks.compat works on them."""
