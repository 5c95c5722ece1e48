"""What the black-box tests share: a server under test, a client that speaks bytes, and material to send."""
