"""The HTTP, WebSocket and server-sent-events surface."""
