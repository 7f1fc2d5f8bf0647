"""Who a user is: at the hub's login, at each site, and towards other services."""
