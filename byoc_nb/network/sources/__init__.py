"""What a source may play, one module a kind: each a feed of frames, without pacing, encoding or publishing."""
