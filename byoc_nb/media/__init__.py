"""Bytes to frames and back: demux and decode, encode and mux."""
