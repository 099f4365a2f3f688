"""What Argo Rollouts does with a Rollout and its analyses, as pure functions."""
