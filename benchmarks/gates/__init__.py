"""The gate benchmark: made-up rollouts whose truth is known, judged by our gates and by peers."""
