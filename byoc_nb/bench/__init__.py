"""The benchmark: this package, pytrickle and the ffmpeg program on the same clip, side by side in one run.

`byoc-nb bench` runs it (`command`). What is measured, in what order, is in `plan`; how a container is driven and
watched in `drive`, `peers` and `meter`; what the measurements come to in `figures`.
"""
