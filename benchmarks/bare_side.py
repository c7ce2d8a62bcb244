"""The floor: read and decode the input, encode and write the result, through the same codecs, a thread for every core.

Knows Zarr's format and nothing of lithax or of zarr-python: files, numcodecs and a thread pool.
"""

import json
import os
from concurrent.futures import ThreadPoolExecutor
from itertools import zip_longest
from pathlib import Path

import numcodecs
import numpy as np

EMPTY = 2**64 - 1


def versions():
    return lambda: {"numcodecs": numcodecs.__version__}


def compressor(codecs):
    """Return the one compressor of a chain of "bytes" and at most one compressor."""
    named = [codec for codec in codecs if codec["name"] not in ("bytes", "crc32c", "transpose")]
    if not named:
        return None
    (codec,) = named
    options = dict(codec.get("configuration", {}))
    if codec["name"] == "blosc":
        shuffles = {"noshuffle": 0, "shuffle": 1, "bitshuffle": 2}
        options["shuffle"] = shuffles[options["shuffle"]]
        options.pop("typesize", None)
        return numcodecs.Blosc(**options)
    return {"zstd": numcodecs.Zstd, "gzip": numcodecs.GZip}[codec["name"]](**options)


class Format:
    """How the files of an array are cut into chunks and compressed."""

    def __init__(self, folder):
        metadata = json.loads(Path(folder, "zarr.json").read_text())
        self.dtype = np.dtype(metadata["data_type"] if metadata["data_type"] != "bool" else "?")
        self.chunk = metadata["chunk_grid"]["configuration"]["chunk_shape"]
        self.codecs = metadata["codecs"]
        self.counts = None
        if self.codecs[0]["name"] == "sharding_indexed":
            sharding = self.codecs[0]["configuration"]
            self.counts = [unit // chunk for unit, chunk in zip(self.chunk, sharding["chunk_shape"], strict=True)]
            self.chunk, self.codecs = sharding["chunk_shape"], sharding["codecs"]
        self.compressor = compressor(self.codecs)

    def chunks(self, data):
        """Yield the encoded chunks of a file."""
        if self.counts is None:
            yield data
            return
        count = int(np.prod(self.counts))
        index = np.frombuffer(data[-16 * count - 4 : -4], "<u8").reshape(count, 2)
        yield from (data[start : start + length] for start, length in index.tolist() if start != EMPTY)

    def decode(self, data):
        """Return the values of every chunk of a file."""
        for chunk in self.chunks(data):
            yield np.frombuffer(self.compressor.decode(chunk) if self.compressor else chunk, self.dtype)

    def encode(self, chunks):
        return b"".join(self.compressor.encode(values) if self.compressor else values.tobytes() for values in chunks)


def units(folder):
    return sorted(path for path in Path(folder, "c").rglob("*") if path.is_file())


def copy(source, target, folder, levels=("",)):
    """Decode every file of `source`; encode the values of `target`, which stand ready in memory, and write them into `folder`.

    `levels` are the arrays in `target`, by their paths.
    """
    read = Format(source)
    files = units(source)
    results = []
    for level in levels:
        write = Format(Path(target, level))
        for path in units(Path(target, level)):
            results.append((write, [values.copy() for values in write.decode(path.read_bytes())]))
    names = [Path(folder, str(number)) for number, _ in enumerate(results)]
    Path(folder).mkdir(parents=True, exist_ok=True)
    threads = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()

    def one(task):
        path, name, (write, result) = task
        if path is not None:  # there are more files to write than to read
            for _ in read.decode(memoryview(path.read_bytes())):
                pass
        data = write.encode(result)
        partial = name.with_suffix(".partial")
        partial.write_bytes(data)
        partial.replace(name)

    def run():
        with ThreadPoolExecutor(threads) as pool:
            for _ in pool.map(one, zip_longest(files, names, results)):
                pass

    return run


CASES = {"versions": versions, "copy": copy}
