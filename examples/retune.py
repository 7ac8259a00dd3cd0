#!/usr/bin/python3
"""Shows what a camera sees and changes the threshold and the model while it plays.

    examples/retune.py --model bottle.bundle --model can.bundle v4l2:///dev/video0

    +  -   threshold 5 % up or down
    0      back to the threshold of the bundle
    m      the next model
    q      quit, as Ctrl-C does

Changes can be made at set times instead, and the picture can go elsewhere:

    examples/retune.py --model bottle.bundle --at 2.5 threshold=300 --at 5 model=can.bundle \\
        --sink "videoconvert ! openh264enc ! h264parse ! mp4mux ! filesink location=out.mp4" recording.mp4

It needs the Debian packages python3-gst-1.0 and gir1.2-gst-plugins-base-1.0, hence the system's Python.
"""

import argparse
import os
import signal
import sys
import termios
import tty

import gi

gi.require_version("Gst", "1.0")
from gi.repository import GLib, Gst  # noqa: E402

STEP = 1.05


def change(text):
    """NAME=VALUE as a name and the value that the property takes."""
    name, _, value = text.partition("=")
    if name == "threshold":
        return name, float(value)
    if name == "model" and value:
        return name, value
    raise argparse.ArgumentTypeError(f"'{text}': expected threshold=NUMBER or model=BUNDLE")


def parse_arguments():
    parser = argparse.ArgumentParser(
        description=__doc__.partition("\n\n    +")[0], epilog=__doc__[__doc__.index("    +") :],
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--model", required=True, action="append", dest="models", metavar="BUNDLE",
                        help="folder that adtrain made; give several to switch between them")
    parser.add_argument("--at", nargs=2, action="append", default=[], metavar=("SECONDS", "NAME=VALUE"),
                        help="change threshold or model so many seconds after the first frame")
    parser.add_argument("--sink", default="videoconvert ! autovideosink", metavar="ELEMENTS",
                        help="where the picture goes, as gst-launch-1.0 takes it (default: %(default)s)")
    parser.add_argument("source", metavar="SOURCE", help="a file, or a URI: file://, rtsp://, v4l2:///dev/video0")
    arguments = parser.parse_args()
    try:
        arguments.at = [(float(seconds), *change(text)) for seconds, text in arguments.at]
    except (ValueError, argparse.ArgumentTypeError) as error:
        parser.error(f"argument --at: {error}")
    return arguments


def explain(source, error, details):
    """The first line of the details is a place in the element's source code; what follows it, if anything, may say more."""
    return " ".join([f"{source.get_name()}: {error.message}", *(details or "").splitlines()[1:]])


class Inspection:
    """A pipeline that runs until its end, an error, 'q' or Ctrl-C."""

    def __init__(self, source, models, changes, sink):
        self.models = models
        self.changes = changes
        self.error = None
        # Model and threshold of the last frame, as its result tells them.
        self.in_use = None
        self.loop = GLib.MainLoop()
        self.pipeline = Gst.parse_launch(f"uridecodebin name=source ! videoconvert ! addetect name=detect ! adoverlay ! {sink}")
        self.pipeline.get_by_name("source").props.uri = source if Gst.uri_is_valid(source) else Gst.filename_to_uri(source)
        self.detect = self.pipeline.get_by_name("detect")
        self.detect.props.model = models[0]
        self.detect.get_static_pad("src").add_probe(Gst.PadProbeType.BUFFER, self.on_frame)
        bus = self.pipeline.get_bus()
        bus.add_signal_watch()
        bus.connect("message", self.on_message)

    def run(self):
        """Plays; raises RuntimeError with the text of an error from the bus."""
        for number in (signal.SIGINT, signal.SIGTERM):
            GLib.unix_signal_add(GLib.PRIORITY_DEFAULT, number, self.quit)
        GLib.unix_fd_add_full(GLib.PRIORITY_DEFAULT, sys.stdin.fileno(), GLib.IOCondition.IN | GLib.IOCondition.HUP, self.on_keys)
        try:
            self.pipeline.set_state(Gst.State.PLAYING)
            self.loop.run()
        finally:
            self.pipeline.set_state(Gst.State.NULL)
        if self.error:
            raise RuntimeError(self.error)

    def quit(self):
        self.loop.quit()
        return GLib.SOURCE_CONTINUE

    def set(self, name, value):
        """Changes a property between two frames: adfeatures loads a model beside the running one."""
        print(f"setting {name} to {value}", flush=True)
        self.detect.set_property(name, value)
        return GLib.SOURCE_REMOVE

    def on_keys(self, descriptor, _condition):
        keys = os.read(descriptor, 64).decode(errors="replace")
        for key in keys:
            if key in "+-" and self.in_use:
                _, threshold = self.in_use
                self.set("threshold", threshold * STEP if key == "+" else threshold / STEP)
            elif key == "0":
                self.set("threshold", float("nan"))
            elif key == "m":
                self.models.append(self.models.pop(0))
                self.set("model", self.models[0])
            elif key == "q":
                self.quit()
        # Nothing at all: the end of the input.
        return GLib.SOURCE_CONTINUE if keys else GLib.SOURCE_REMOVE

    def on_frame(self, _pad, info):
        """On the streaming thread: what the results say, not what was asked for."""
        meta = info.get_buffer().get_custom_meta("GstAnomalyMeta")
        if meta:
            result = meta.get_structure()
            in_use = result["model"], result["threshold"]
            if not self.in_use:
                for seconds, name, value in self.changes:
                    GLib.timeout_add(round(seconds * 1000), self.set, name, value)
            if in_use != self.in_use:
                self.in_use = in_use
                print(f"in use: model {in_use[0]}, threshold {in_use[1]:.2f}", flush=True)
        return Gst.PadProbeReturn.OK

    def on_message(self, _bus, message):
        if message.type == Gst.MessageType.ERROR:
            self.error = explain(message.src, *message.parse_error())
            self.loop.quit()
        elif message.type == Gst.MessageType.WARNING:
            # A model that cannot be loaded, for example: the old one stays.
            print(f"warning: {explain(message.src, *message.parse_warning())}", flush=True)
        elif message.type == Gst.MessageType.EOS:
            self.loop.quit()
        elif message.has_name("anomaly"):
            event = message.get_structure()
            print(f"{event['running-time'] / Gst.SECOND:.2f} s: {event['state']}, score {event['score']:.2f}", flush=True)


def main():
    arguments = parse_arguments()
    Gst.init(None)
    terminal = termios.tcgetattr(sys.stdin) if sys.stdin.isatty() else None
    try:
        if terminal:
            # Keys come one by one, without Enter.
            tty.setcbreak(sys.stdin)
        Inspection(arguments.source, arguments.models, arguments.at, arguments.sink).run()
    finally:
        if terminal:
            termios.tcsetattr(sys.stdin, termios.TCSADRAIN, terminal)


if __name__ == "__main__":
    try:
        main()
    except (RuntimeError, GLib.Error) as error:
        sys.exit(f"retune: {error}")
