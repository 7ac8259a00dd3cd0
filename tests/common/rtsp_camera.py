#!/usr/bin/python3
"""rtsp_camera.py RECORDING [PORT]: a camera for the tests. It sends RECORDING (H.264 in MP4) at its own speed to everybody who asks
for rtsp://127.0.0.1:PORT/stream, from the beginning each time, and says good-bye at the end. It prints PORT, ends at the end
of its input."""

import sys
from pathlib import Path

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import GLib, Gst, GstRtspServer  # noqa: E402

Gst.init(None)
server = GstRtspServer.RTSPServer(address="127.0.0.1", service=sys.argv[2] if len(sys.argv) > 2 else "0")
factory = GstRtspServer.RTSPMediaFactory()
factory.set_launch(f'( filesrc location="{Path(sys.argv[1]).resolve()}" ! qtdemux ! h264parse ! rtph264pay name=pay0 config-interval=-1 )')
server.get_mount_points().add_factory("/stream", factory)
if not server.attach(None):
    sys.exit("rtsp_camera: no port to listen at")
print(server.get_bound_port(), flush=True)
loop = GLib.MainLoop()
GLib.io_add_watch(sys.stdin.fileno(), GLib.PRIORITY_DEFAULT, GLib.IOCondition.IN | GLib.IOCondition.HUP, lambda *_: loop.quit())
loop.run()
