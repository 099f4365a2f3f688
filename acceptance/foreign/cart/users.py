"""Users of the cart; the rehearsal keeps their rate."""

from locust import FastHttpUser, task


class Shopper(FastHttpUser):
    """Looks at its cart, and sometimes at one thing in it."""

    @task(3)
    def look(self) -> None:
        """Asks for the cart."""
        self.client.get("/cart")

    @task
    def look_closer(self) -> None:
        """Asks for one item."""
        self.client.get("/cart/1", name="/cart/{item}")
