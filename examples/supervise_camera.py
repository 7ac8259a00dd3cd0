#!/usr/bin/python3
"""Inspects an RTSP camera for as long as it is wanted, and connects it anew whenever it fails.

    examples/supervise_camera.py --model bottle.bundle rtsp://camera.local/stream
    examples/supervise_camera.py --model bottle.bundle --protocols tcp \\
        --then 'adpublish method=mqtt address=broker:1883 topic=line-1/anomalies camera=line-1 ! fakesink sync=false' \\
        rtsp://camera.local/stream

When the camera fails, ends its stream or falls silent, the source alone is built anew, after pauses that grow; what inspects and
publishes goes on, and says that it was interrupted and when it is back. It needs the Debian package python3-gst-1.0, hence the system's Python.
"""

import argparse
import os
import sys
import threading
import time

import gi

gi.require_version("Gst", "1.0")
from gi.repository import Gst  # noqa: E402

FIRST_PAUSE = 1.0
# Ctrl-C is heard, and the clock is looked at, this often.
TICK = Gst.SECOND // 10
ENDED = "source-ended"
# The program waits this long at its end for a source to stop.
STOP_TIMEOUT = 3.0


def seconds(text):
    value = float(text)
    if not 0 < value < 1e9:
        raise ValueError
    return value


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", required=True, metavar="BUNDLE", help="folder that adtrain made")
    parser.add_argument("--protocols", default="tcp+udp", choices=["tcp", "udp", "tcp+udp"], help="how the camera sends; tcp+udp tries udp first")
    parser.add_argument("--silence", type=seconds, default=10.0, metavar="SECONDS", help="without a frame after which the camera is connected anew")
    parser.add_argument("--longest-pause", type=seconds, default=30.0, metavar="SECONDS", help="before another attempt; the first is 1 second")
    parser.add_argument("--evidence", metavar="FOLDER", help="for stills and data of anomalous frames")
    parser.add_argument("--then", default="fakesink sync=false", metavar="ELEMENTS", help="what comes behind addetect, as gst-launch-1.0 takes it")
    parser.add_argument("location", metavar="LOCATION", help="rtsp://HOST/PATH")
    return parser.parse_args()


def is_within(thing, container):
    return thing is not None and (thing == container or thing.has_as_ancestor(container))


class Supervisor:
    def __init__(self, arguments):
        """Everything but the source, which is never taken apart."""
        self.arguments = arguments
        self.pipeline = Gst.parse_launch(
            f"queue name=entry leaky=downstream max-size-buffers=2 ! videoconvert ! addetect name=detect ! {arguments.then}"
        )
        detect = self.pipeline.get_by_name("detect")
        detect.props.model = arguments.model
        detect.props.evidence_folder = arguments.evidence
        # The camera may not be there yet: nobody is to wait for its first frame.
        sinks = self.pipeline.iterate_sinks()
        while (found := sinks.next())[0] == Gst.IteratorResult.OK:
            if found[1].find_property("async"):
                found[1].set_property("async", False)
        self.entry = self.pipeline.get_by_name("entry").get_static_pad("sink")
        self.entry.add_probe(Gst.PadProbeType.BUFFER, self.note_frame)
        self.entry.add_probe(Gst.PadProbeType.EVENT_DOWNSTREAM, self.keep_end)
        self.source = None
        # Threads that stop sources which were taken away.
        self.stopping = []
        self.stuck = 0
        self.first = self.last = None
        self.attempt = time.monotonic()
        self.pause = FIRST_PAUSE
        self.interrupted = None

    def note_frame(self, _pad, _info):
        if not self.source:
            # One of a source that was taken away comes too late.
            return Gst.PadProbeReturn.DROP
        now = time.monotonic()
        self.first = self.first or now
        self.last = now
        return Gst.PadProbeReturn.OK

    def keep_end(self, _pad, info):
        """The end of the source is none of what comes behind it."""
        if info.get_event().type != Gst.EventType.EOS:
            return Gst.PadProbeReturn.OK
        self.pipeline.post_message(Gst.Message.new_application(self.pipeline, Gst.Structure.new_empty(ENDED)))
        return Gst.PadProbeReturn.DROP

    def run(self):
        bus = self.pipeline.get_bus()
        # Why it does not start is told on the bus.
        self.pipeline.set_state(Gst.State.PLAYING)
        while True:
            message = bus.timed_pop(TICK)
            if message:
                self.hear(message)
            self.look()

    def hear(self, message):
        structure = message.get_structure()
        if message.type == Gst.MessageType.ERROR:
            text = f"{message.src.get_name()}: {message.parse_error()[0].message}"
            if self.source and is_within(message.src, self.source):
                self.interrupt(text)
            elif is_within(message.src, self.pipeline):
                # What inspects has failed, and no other source would help.
                raise RuntimeError(text)
            # Else a source that was taken away had a last word.
        elif message.type == Gst.MessageType.WARNING:
            print(f"warning: {message.parse_warning()[0].message}", file=sys.stderr)
        elif message.type == Gst.MessageType.APPLICATION and structure.get_name() == ENDED:
            self.interrupt("the camera has ended the stream")
        elif message.type == Gst.MessageType.ELEMENT and structure.get_name() == "anomaly":
            report(structure)

    def look(self):
        """Looks at the clock."""
        now = time.monotonic()
        if not self.source:
            if self.attempt <= now:
                self.connect(now)
            return
        if self.last and self.interrupted:
            print(f"back after {self.last - self.interrupted:.1f} s", flush=True)
            self.interrupted = None
        silent = now - (self.last or self.attempt)
        if silent > self.arguments.silence:
            self.interrupt(f"no frame for {silent:.1f} s")

    def connect(self, now):
        """Builds the source and starts it."""
        self.first = self.last = None
        self.attempt = now
        self.source = make_source(self.arguments)
        self.pipeline.add(self.source)
        self.source.get_static_pad("src").link(self.entry)
        # Why it does not start is told on the bus.
        self.source.sync_state_with_parent()

    def interrupt(self, reason):
        """Takes the source away until the next attempt."""
        if not self.source:
            return
        self.take_away()
        # A camera that was well for a while is tried again soon.
        if self.last and self.last - self.first >= self.arguments.silence:
            self.pause = FIRST_PAUSE
        if self.last:
            # Before it has sent anything there is nothing to be cut.
            event = Gst.Event.new_custom(Gst.EventType.CUSTOM_DOWNSTREAM, Gst.Structure.new_empty("anomaly-interrupted"))
            self.entry.send_event(event)
        now = time.monotonic()
        self.interrupted = self.interrupted or self.last or now
        print(f"interrupted: {reason}; trying again in {self.pause:.0f} s", flush=True)
        self.attempt = now + self.pause
        self.pause = min(2 * self.pause, self.arguments.longest_pause)

    def take_away(self):
        """Removes the source and stops it on a thread of its own: the rtspsrc of GStreamer 1.22 may never stop if it is told so while
        it tries to connect anew by itself."""
        source, self.source = self.source, None
        source.get_static_pad("src").unlink(self.entry)
        self.pipeline.remove(source)
        self.stopping = [thread for thread in self.stopping if thread.is_alive()]
        if len(self.stopping) > self.stuck:
            self.stuck = len(self.stopping)
            print(f"warning: {self.stuck} of the former sources have not stopped and keep their memory", file=sys.stderr)
        thread = threading.Thread(target=source.set_state, args=[Gst.State.NULL], daemon=True)
        self.stopping.append(thread)
        thread.start()

    def end(self):
        """Stops everything; the source first, which the rest need not wait for."""
        if self.source:
            self.take_away()
        self.pipeline.set_state(Gst.State.NULL)
        deadline = time.monotonic() + STOP_TIMEOUT
        for thread in self.stopping:
            thread.join(max(0, deadline - time.monotonic()))


def make_source(arguments):
    """Camera and decoder, with a pad that the pictures come out of."""
    source = Gst.parse_bin_from_description("rtspsrc name=camera latency=200 ! application/x-rtp,media=video ! decodebin name=decoder", False)
    # What is behind it plays on, whatever state the decoder waits for.
    source.props.async_handling = True
    camera = source.get_by_name("camera")
    camera.props.location = arguments.location
    Gst.util_set_object_arg(camera, "protocols", arguments.protocols)
    pad = Gst.GhostPad.new_no_target("src", Gst.PadDirection.SRC)
    pad.set_active(True)
    source.add_pad(pad)
    # A second pad finds the place taken.
    source.get_by_name("decoder").connect("pad-added", lambda _, decoded: pad.get_target() or pad.set_target(decoded))
    return source


def report(anomaly):
    state = anomaly.get_string("state")
    if state == "enter":
        print(f"anomaly begins: score {anomaly['score']:.2f} ({anomaly['normalized']:.3f})", flush=True)
    elif state == "leave":
        print("anomaly ends", flush=True)
    elif state == "end":
        print(f"anomaly ends with the stream: {anomaly.get_string('reason')}", flush=True)


def main():
    arguments = parse_arguments()
    Gst.init(None)
    supervisor = None
    try:
        supervisor = Supervisor(arguments)
        supervisor.run()
    except KeyboardInterrupt:
        pass
    finally:
        if supervisor:
            supervisor.end()


if __name__ == "__main__":
    status = 0
    try:
        main()
    except (RuntimeError, gi.repository.GLib.Error) as error:
        print(f"supervise_camera: {error}", file=sys.stderr)
        status = 1
    sys.stdout.flush()
    sys.stderr.flush()
    # A thread that still stops a source holds locks of GStreamer, which the interpreter's own end would wait for.
    os._exit(status)
