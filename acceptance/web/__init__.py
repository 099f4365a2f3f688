"""The pages of `canary rehearse --web` and `canary ui` in a real browser."""
