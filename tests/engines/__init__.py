"""The servers of a production, where the embedded ones of the other tests differ from them."""
