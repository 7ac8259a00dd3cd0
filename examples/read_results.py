#!/usr/bin/python3
"""Prints a line for every frame: its time, the verdict, the score, the worst region and the peak of the anomaly map.

    examples/read_results.py --model bottle.bundle recording.mp4
    examples/read_results.py --model bottle.bundle rtsp://camera.local/stream
    examples/read_results.py --model bottle.bundle v4l2:///dev/video0

It needs the Debian packages python3-gst-1.0, gir1.2-gst-plugins-base-1.0 and python3-numpy, hence the system's Python.
"""

import argparse
import sys
from pathlib import Path

import gi
import numpy as np

gi.require_version("Gst", "1.0")
gi.require_version("GstVideo", "1.0")
from gi.repository import Gst, GstVideo  # noqa: E402

# Ctrl-C is heard, and the bus is looked at, this often.
PATIENCE = Gst.SECOND // 10


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", required=True, metavar="BUNDLE", help="folder that adtrain made")
    parser.add_argument("--maps", type=Path, metavar="FOLDER", help="save the map of every anomalous frame there, NUMBER.npy")
    parser.add_argument("source", metavar="SOURCE", help="a file, or a URI: file://, rtsp://, v4l2:///dev/video0")
    return parser.parse_args()


def make_pipeline(source, model):
    """The pipeline and its appsink. Paths are set as properties: no character in them can be misread."""
    pipeline = Gst.parse_launch(
        "uridecodebin name=source ! videoconvert ! addetect name=detect"
        # Frames wait for this program, not the other way round: nothing is dropped, and memory stays flat.
        " ! appsink name=results max-buffers=4 sync=false"
    )
    pipeline.get_by_name("source").props.uri = source if Gst.uri_is_valid(source) else Gst.filename_to_uri(source)
    pipeline.get_by_name("detect").props.model = model
    return pipeline, pipeline.get_by_name("results")


def frames(pipeline, sink):
    """Every sample until the stream ends. Raises RuntimeError with the text of an error from the bus."""
    bus = pipeline.get_bus()
    pipeline.set_state(Gst.State.PLAYING)
    while True:
        sample = sink.emit("try-pull-sample", PATIENCE)
        message = bus.pop_filtered(Gst.MessageType.ERROR)
        if message:
            error, details = message.parse_error()
            # The first line of the details is a place in the element's source code; what follows it, if anything, may say more.
            raise RuntimeError(" ".join([f"{message.src.get_name()}: {error.message}", *(details or "").splitlines()[1:]]))
        if sample:
            yield sample
        elif sink.props.eos:
            return


def anomaly_map(result):
    """The anomaly map as an array [height, width] from 0 to 1, or None where adscore attaches none. 0.5 is the threshold.

    In raw units it is map-min + array * (map-max - map-min).
    """
    if not result.has_field("map"):
        return None
    info = GstVideo.VideoInfo.new_from_caps(result["map"].get_caps())
    buffer = result["map"].get_buffer()
    data = buffer.extract_dup(0, buffer.get_size())
    # Rows may be padded at their end.
    values = np.frombuffer(data, "<u2").reshape(info.height, -1)[:, : info.width]
    return values / np.float32(65535)


def peak(result, heat):
    """Where the largest value of the map lies in the frame, in pixels."""
    row, column = np.unravel_index(heat.argmax(), heat.shape)
    x = result["map-x"] + (column + 0.5) * result["map-width"] / heat.shape[1]
    y = result["map-y"] + (row + 0.5) * result["map-height"] / heat.shape[0]
    return round(x), round(y)


def describe(pts, result, heat):
    """The line of a frame."""
    verdict = {"normal": "good", "warn": "warn", "reject": "anomalous"}[result["level"]].ljust(len("anomalous"))
    line = f"{timestamp(pts)} {verdict}  score {result['score']:.2f} of {result['threshold']:.2f} ({result['normalized']:.3f})"
    # Worst first.
    regions = list(result["regions"])
    if regions:
        worst = regions[0]
        line += f"  regions {len(regions)}, worst {worst['width']}x{worst['height']} at {worst['x']},{worst['y']} ({worst['score']:.3f})"
    if heat is not None:
        x, y = peak(result, heat)
        line += f"  map peak {heat.max():.3f} at {x},{y}"
    return line


def timestamp(pts):
    if pts == Gst.CLOCK_TIME_NONE:
        return "--:--:--.---"
    milliseconds = pts // Gst.MSECOND
    seconds = milliseconds // 1000
    return f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}.{milliseconds % 1000:03}"


def main():
    arguments = parse_arguments()
    Gst.init(None)
    if arguments.maps:
        arguments.maps.mkdir(parents=True, exist_ok=True)
    pipeline = None
    try:
        pipeline, sink = make_pipeline(arguments.source, arguments.model)
        for number, sample in enumerate(frames(pipeline, sink)):
            buffer = sample.get_buffer()
            meta = buffer.get_custom_meta("GstAnomalyMeta")
            if not meta:
                # Late frames of a live camera pass uninspected.
                continue
            result = meta.get_structure()
            heat = anomaly_map(result)
            print(describe(buffer.pts, result, heat), flush=True)
            if arguments.maps and heat is not None and result["anomalous"]:
                np.save(arguments.maps / f"{number:06}.npy", heat)
    except KeyboardInterrupt:
        pass
    finally:
        if pipeline:
            pipeline.set_state(Gst.State.NULL)


if __name__ == "__main__":
    try:
        main()
    except (RuntimeError, OSError, gi.repository.GLib.Error) as error:
        sys.exit(f"read_results: {error}")
