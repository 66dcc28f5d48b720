"""An ECI that runs on a laptop: the API's actions and the exec websocket, over any sandboxkit provider.

It shares no code with the provider next to it: both were written from what is known of the service, and what one has
wrong the other must not repeat.
"""
