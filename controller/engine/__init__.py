"""decide(plan, record, observation, now) → Decision: the whole policy, pure."""
