"""Formats as values: one door for files, each format against another program, and files that are damaged."""

import gzip
import os
import random
import struct
import zlib

import numpy as np
import pytest
import tifffile

import lithax as lx
from lithax.errors import FileFormatError, MetadataError
from lithax.images import convert, file_format
from lithax.storage.formats import _format

SEED = int(os.environ.get("LITHAX_FUZZ_SEED", "20261129"))
KEPT = {"voxel_length": (2.5, 0.3, 1.7), "voxel_origin": (-1.25, 0.0, 1e-3), "voxel_unit": "um"}
SUFFIXES = ["tif", "tiff", "npy", "raw", "raw.gz", "nrrd", "nhdr", "mha", "mhd"]


@pytest.fixture
def values(rng):
    return rng.integers(0, 60_000, (9, 8, 7)).astype("u2")


@pytest.fixture(autouse=True)
def registry(monkeypatch):
    monkeypatch.setattr(_format, "_FORMATS", dict(_format._FORMATS))


def written(suffix, values, folder, **known):
    image = lx.from_array(values, chunks=4, **known)
    file = folder / f"a.{suffix}"
    if suffix == "raw.gz":
        image.export(folder / "a.raw")
        file.write_bytes(gzip.compress((folder / "a.raw").read_bytes()))
        return file
    assert image.export(file) == file
    return file


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.filterwarnings("ignore:.* has no place")
def test_one_door(suffix, values, tmp_path):
    file = written(suffix, values, tmp_path, **KEPT)
    names = {path.name for path in tmp_path.iterdir()}
    for image in (lx.open(file), lx.open(str(file), mode="r"), lx.import_file(file, store=tmp_path / "a.zarr")):
        np.testing.assert_array_equal(image[...], values)
        assert image.dtype == values.dtype
        if suffix != "npy":
            assert {name: getattr(image, name) for name in KEPT} == KEPT
    lazy = lx.open(file, voxel_length=3, voxel_unit="mm", field_name="x")
    assert (lazy.voxel_length, lazy.voxel_unit, lazy.field_name) == ((3, 3, 3), "mm", "x")
    np.testing.assert_array_equal(lazy[2:5, 3, ::2], values[2:5, 3, ::2])
    with pytest.raises(PermissionError, match="read but not changed"):
        lazy[0, 0, 0] = 1
    assert lx.verify(tmp_path / "a.zarr", progress=False)
    assert {path.name for path in tmp_path.iterdir()} == names | {"a.zarr"}
    with pytest.raises(FileExistsError, match="pass overwrite=True"):
        lazy.export(tmp_path / f"a.{suffix.removesuffix('.gz')}")


@pytest.mark.parametrize("compress", [False, True])
@pytest.mark.parametrize("suffix", ["nrrd", "nhdr", "mha", "mhd"])
@pytest.mark.parametrize("dtype", ["b1", "i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8", "f4", "f8"])
def test_types_of_nrrd_and_metaimage(rng, tmp_path, suffix, dtype, compress):
    values = rng.integers(0, 100, (5, 4, 3)).astype(dtype)
    texts = {"description": "Berea, 5 µm", **({} if suffix[0] == "m" else {"field_name": "a\nb", "field_unit": "1\\n"})}
    image = lx.from_array(values, **KEPT, **texts)
    image.export(tmp_path / f"a.{suffix}", compress=compress)
    again = lx.open(tmp_path / f"a.{suffix}")
    np.testing.assert_array_equal(again[...], values)
    assert again.dtype == (np.dtype("u1") if dtype == "b1" else values.dtype)
    assert {name: getattr(again, name) for name in (*KEPT, *texts)} == KEPT | texts
    with pytest.raises(FileExistsError):
        image.export(tmp_path / f"a.{suffix}")
    image.export(tmp_path / f"a.{suffix}", compress=compress, overwrite=True)


@pytest.mark.parametrize(
    ("suffix", "lost"),
    [("npy", "voxel_length, voxel_unit, field_name, field_unit, description"), ("mha", "field_name, field_unit")],
)
def test_what_a_format_has_no_place_for_is_named(values, tmp_path, suffix, lost):
    known = {"voxel_length": 2.5, "voxel_unit": "um", "field_name": "a", "field_unit": "m", "description": "Berea"}
    with pytest.warns(
        UserWarning, match=rf"a\.{suffix}: .* has no place for {lost}, which the file now lacks; NRRD keeps"
    ):
        lx.from_array(values, **known).export(tmp_path / f"a.{suffix}")
    lx.from_array(values, **known).export(tmp_path / "a.nrrd")
    lx.from_array(values).export(tmp_path / f"b.{suffix}")  # nothing is lost


@pytest.mark.parametrize("compress", [False, True])
@pytest.mark.parametrize("suffix", ["nrrd", "nhdr"])
def test_nrrd_of_another_program(values, tmp_path, suffix, compress):
    nrrd = pytest.importorskip("nrrd", reason="pip install pynrrd compares with another reader and writer")
    lx.from_array(values, **KEPT).export(tmp_path / f"a.{suffix}", compress=compress)
    found, header = nrrd.read(str(tmp_path / f"a.{suffix}"))
    np.testing.assert_array_equal(found, values)
    np.testing.assert_array_equal(header["space directions"], np.diag(KEPT["voxel_length"]))
    np.testing.assert_array_equal(header["space origin"], KEPT["voxel_origin"])
    options = {"spacings": [2.5, 0.3, 1.7], "encoding": "gzip" if compress else "raw", "units": ["um"] * 3}
    nrrd.write(str(tmp_path / f"b.{suffix}"), values, options)
    image = lx.open(tmp_path / f"b.{suffix}")
    np.testing.assert_array_equal(image[...], values)
    assert (image.voxel_length, image.voxel_unit) == ((2.5, 0.3, 1.7), "um")


@pytest.mark.parametrize("compress", [False, True])
@pytest.mark.parametrize("suffix", ["nrrd", "mha", "mhd"])
def test_files_of_itk(values, tmp_path, suffix, compress):
    itk = pytest.importorskip("SimpleITK", reason="pip install SimpleITK compares with the reference implementation")
    lx.from_array(values, **KEPT).export(tmp_path / f"a.{suffix}", compress=compress)
    found = itk.ReadImage(str(tmp_path / f"a.{suffix}"))
    np.testing.assert_array_equal(itk.GetArrayFromImage(found), values.transpose(2, 1, 0))
    np.testing.assert_allclose(found.GetSpacing(), KEPT["voxel_length"])
    np.testing.assert_allclose(found.GetOrigin(), KEPT["voxel_origin"])
    made = itk.GetImageFromArray(values.transpose(2, 1, 0))
    made.SetSpacing(KEPT["voxel_length"])
    made.SetOrigin(KEPT["voxel_origin"])
    itk.WriteImage(made, str(tmp_path / f"b.{suffix}"), compress)
    image = lx.open(tmp_path / f"b.{suffix}")
    np.testing.assert_array_equal(image[...], values)
    np.testing.assert_allclose(
        (*image.voxel_length, *image.voxel_origin), (*KEPT["voxel_length"], *KEPT["voxel_origin"])
    )


def test_headers_by_hand(values, tmp_path):
    """As the specifications write them: other spellings, byte orders, skips."""
    big = values.transpose(2, 1, 0).astype(">u2").tobytes()
    head = "NRRD0001\n# a comment\ntype: unsigned short int\ndimension: 3\nsizes: 9 8 7\nendian: big\n"
    (tmp_path / "a.nrrd").write_bytes(
        f'{head}encoding: raw\nspacings: 2 NaN 3\nunits: "mm" "mm" "mm"\nbyte skip: 5\n\n'.encode() + b"12345" + big
    )
    image = lx.open(tmp_path / "a.nrrd")
    np.testing.assert_array_equal(image[...], values)
    assert (image.voxel_length, image.voxel_unit) == ((2, 1, 3), "mm")
    (tmp_path / "data.bin").write_bytes(b"one line\nand another\n" + gzip.compress(b"xyz" + big))
    (tmp_path / "b.nhdr").write_text(f"{head}encoding: gz\nline skip: 2\nbyte skip: 3\ndatafile: ./data.bin\n")
    np.testing.assert_array_equal(lx.open(tmp_path / "b.nhdr")[...], values)
    (tmp_path / "c.bin").write_bytes(b"any header" + big)
    (tmp_path / "c.nhdr").write_text(f"{head}encoding: raw\nbyte skip: -1\ndata file: c.bin\n")
    np.testing.assert_array_equal(lx.open(tmp_path / "c.nhdr")[...], values)
    head = "ObjectType = Image\nNDims = 3\nDimSize = 9 8 7\nElementType = MET_USHORT\nElementByteOrderMSB = True\n"
    (tmp_path / "d.mhd").write_text(
        f"{head}ElementSize = 2 3 4\nPosition = 1 2 3\nHeaderSize = -1\nElementDataFile = c.bin\n"
    )
    image = lx.open(tmp_path / "d.mhd")
    np.testing.assert_array_equal(image[...], values)
    assert (image.voxel_length, image.voxel_origin) == ((2, 3, 4), (1, 2, 3))
    packed = zlib.compress(big)
    (tmp_path / "e.mha").write_bytes(
        f"{head}CompressedData = True\nCompressedDataSize = {len(packed)}\nElementDataFile = LOCAL\n".encode() + packed
    )
    np.testing.assert_array_equal(lx.open(tmp_path / "e.mha")[...], values)


REFUSED = {
    "a.nrrd": [
        "NRRD0004\ntype: block\ndimension: 3\nsizes: 2 2 2\nencoding: raw\n\n",
        "NRRD0004\ntype: uchar\ndimension: 2\nsizes: 2 2\nencoding: raw\n\n12345678",
        "NRRD0004\ntype: uchar\ndimension: 3\nsizes: 2 2 2\nencoding: ascii\n\n1 2 3 4 5 6 7 8",
        "NRRD0004\ntype: ushort\ndimension: 3\nsizes: 2 2 2\nencoding: raw\n\n1234567812345678",
        "NRRD0004\ntype: uchar\ndimension: 3\nsizes: 2 2 2\nencoding: raw\n\n1234567",
        "NRRD0004\ntype: uchar\ndimension: 3\nsizes: 2 2 2\nencoding: raw\ndata file: /etc/passwd\n\n",
        "NRRD0004\ntype: uchar\ndimension: 3\nsizes: 2 2 2\nencoding: raw\ndata file: ../secret\n\n",
        "NRRD0004\ntype: uchar\ndimension: 3\nsizes: 2 2 2\nencoding: raw\ndata file: LIST\n\n",
        "NRRD0004\ntype: uchar\ndimension: 3\nsizes: 2 2 2\nencoding: raw\ndata file: a%03d.raw 1 2 1\n\n",
        "NRRD0004\ntype: uchar\ndimension: 3\nsizes: 2 2 2\nencoding: raw\nspace directions: (0,1,0) (1,0,0) (0,0,1)\n\n12345678",
        "NRRD0004\ntype: uchar\ndimension: 3\nsizes: 2 2 99999999999999999999\nencoding: raw\n\n12345678",
    ],
    "a.mha": [
        "NDims = 2\nDimSize = 2 2\nElementType = MET_UCHAR\nElementDataFile = LOCAL\n1234",
        "NDims = 3\nDimSize = 2 2 2\nElementType = MET_UCHAR_ARRAY\nElementDataFile = LOCAL\n12345678",
        "NDims = 3\nDimSize = 2 2 2\nElementType = MET_UCHAR\nElementNumberOfChannels = 3\nElementDataFile = LOCAL\n12345678",
        "NDims = 3\nDimSize = 2 2 2\nElementType = MET_UCHAR\nTransformMatrix = 0 1 0 1 0 0 0 0 1\nElementDataFile = LOCAL\n12345678",
        "NDims = 3\nDimSize = 2 2 2\nElementType = MET_UCHAR\nElementDataFile = ../b.raw\n",
        "NDims = 3\nDimSize = 2 2 2\nElementType = MET_UCHAR\nElementSpacing = 1 1\nElementDataFile = LOCAL\n12345678",
        "NDims = 3\nDimSize = 2 2 2\nElementType = MET_UCHAR\nCompressedData = True\nElementDataFile = LOCAL\n12345678",
        "NDims = 3\nDimSize = 2 2 2\nElementType = MET_UCHAR\n",
    ],
    "a.npy": ["", "\x93NUMPY", "text"],
    "a.tif": ["", "II*\0", "text"],
}  # fmt: skip


@pytest.mark.parametrize(("name", "text"), [(name, text) for name, texts in REFUSED.items() for text in texts])
def test_what_a_reader_does_not_know_is_one_error(name, text, tmp_path):
    (tmp_path / name).write_bytes(text.encode("latin-1"))
    for call in (lx.open, lambda file: lx.import_file(file, tmp_path / "x.zarr")):
        with pytest.raises(FileFormatError, match=name.replace(".", r"\.")):
            call(tmp_path / name)
    assert not (tmp_path / "x.zarr").exists()


def test_arrays_of_numpy_that_are_no_image(tmp_path):
    held = {
        "flat": np.ones((4, 5)),
        "empty": np.ones((4, 0, 5)),
        "objects": np.asarray([[[None]]], object),
        "text": np.asarray([[["a"]]]),
        "fields": np.zeros((2, 2, 2), [("a", "u1"), ("b", "u2")]),
    }
    for name, array in held.items():
        np.save(tmp_path / f"{name}.npy", array, allow_pickle=True)
        with pytest.raises((FileFormatError, TypeError), match=r"\.npy|dtype"):
            lx.open(tmp_path / f"{name}.npy")
    np.savez(tmp_path / "several.npz", a=np.ones(3))
    (tmp_path / "several.npz").rename(tmp_path / "several.npy")
    with pytest.raises(FileFormatError, match=r"several\.npy"):
        lx.import_file(tmp_path / "several.npy")


MUTATED = {
    "tif": lambda folder, values: tifffile.imwrite(
        folder / "a.tif", values.transpose(2, 1, 0), imagej=True, metadata={"axes": "ZYX", "spacing": 2.0, "unit": "um"}
    ),
    "packed.tif": lambda folder, values: tifffile.imwrite(
        folder / "a.packed.tif", values.transpose(2, 1, 0), photometric="minisblack", compression="zlib"
    ),
    "ome.tif": lambda folder, values: tifffile.imwrite(
        folder / "a.ome.tif", values.transpose(2, 1, 0), ome=True, metadata={"axes": "ZYX", "PhysicalSizeX": 2.0}
    ),
    "npy": lambda folder, values: np.save(folder / "a.npy", values),
    "raw": lambda folder, values: lx.from_array(values, voxel_length=2.5, voxel_unit="um").export(folder / "a.raw"),
    "nrrd": lambda folder, values: lx.from_array(values, **KEPT).export(folder / "a.nrrd", compress=True),
    "mha": lambda folder, values: lx.from_array(values, **KEPT).export(folder / "a.mha"),
}


@pytest.mark.parametrize("suffix", MUTATED)
@pytest.mark.filterwarnings("ignore")
def test_mutated_files(suffix, tmp_path):
    """Every mutation is an image that can be read, or one error that names the file."""
    rng = random.Random(SEED)
    values = np.arange(5 * 6 * 4, dtype="u2").reshape(5, 6, 4)
    MUTATED[suffix](tmp_path, values)
    file = tmp_path / f"a.{suffix}"
    damaged = tmp_path / f"a.{suffix}.json" if suffix == "raw" else file
    whole = damaged.read_bytes()
    head = min(len(whole), 700)
    refused = []
    for number in range(150):
        data = bytearray(whole)
        for _ in range(rng.choice([1, 1, 3])):
            kind, at = rng.randrange(5), rng.randrange(head)
            if kind == 0:
                data[at] ^= 1 << rng.randrange(8)
            elif kind == 1:
                data[at : at + 4] = struct.pack("<I", rng.choice([0, 1, 0xFFFFFFFF, 0x7FFFFFFF, rng.randrange(2**32)]))
            elif kind == 2:
                del data[rng.randrange(len(data)) :]
            elif kind == 3:
                del data[at : at + rng.randrange(1, 20)]
            else:
                data[at:at] = bytes(rng.randrange(256) for _ in range(rng.randrange(1, 9)))
            data = data or bytearray(b"\0")
            head = min(head, len(data))
        head = min(len(whole), 700)
        damaged.write_bytes(data)
        try:
            image = lx.open(file)
            if image.nbytes < 1 << 24:
                image[...]
            else:
                image[0, 0, 0]
        except (FileFormatError, MetadataError) as error:
            refused.append(str(error))
        except Exception as error:
            raise AssertionError(f"mutation {number} of seed {SEED}: {type(error)} {error}") from error
    assert len(refused) > 5
    assert all("a." in text and len(text) < 1500 for text in refused)


def test_raw_files_through_the_same_door(values, tmp_path):
    values.transpose(2, 1, 0).astype(">u2").tofile(tmp_path / "rock.raw")
    values.tofile(tmp_path / "rock.4d")
    layout = {"shape": (9, 8, 7), "dtype": ">u2"}
    image = lx.open(tmp_path / "rock.raw", **layout, voxel_length=2, voxel_unit="um")
    np.testing.assert_array_equal(image[...], values)
    np.testing.assert_array_equal(lx.import_file(tmp_path / "rock.raw", **layout)[...], values)
    np.testing.assert_array_equal(lx.open(tmp_path / "rock.4d", shape=(9, 8, 7), dtype="<u2", order="C")[...], values)
    with pytest.raises(ValueError, match=r"shape and dtype must be given: no .*rock\.raw\.json"):
        lx.open(tmp_path / "rock.raw")
    with pytest.raises(FileFormatError, match=r"rock\.4d': its suffix names no format that lithax reads"):
        lx.open(tmp_path / "rock.4d")
    with pytest.raises(FileFormatError, match="is too long"):
        lx.open(tmp_path / "rock.raw", shape=(9, 8, 6), dtype="u2")
    with pytest.raises(TypeError, match="depth: no option of a raw file"):
        lx.open(tmp_path / "rock.raw", **layout, depth=3)
    np.save(tmp_path / "a.npy", values)
    with pytest.raises(ValueError, match="shape: a npy file says so itself"):
        lx.open(tmp_path / "a.npy", shape=(1, 2, 3))
    with pytest.raises(FileNotFoundError, match=r"none\.tif' does not exist"):
        lx.open(tmp_path / "none.tif")
    with pytest.raises(TypeError, match="shape: only files of other formats take this"):
        lx.open(lx.zeros((2, 2, 2), "u1").zarray, shape=(2, 2, 2))


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="pipes in the file system exist on POSIX")
@pytest.mark.parametrize("suffix", ["raw", "tif", "npy", "nrrd", "mha"])
def test_pipes_are_not_waited_for(suffix, tmp_path):
    os.mkfifo(tmp_path / f"a.{suffix}")
    options = {"shape": (2, 2, 2), "dtype": "u1"} if suffix == "raw" else {}
    with pytest.raises(FileFormatError, match="is a pipe"):
        lx.open(tmp_path / f"a.{suffix}", **options)


def test_suffixes_that_are_not_known_are_refused(values, tmp_path):
    image = lx.from_array(values, store=tmp_path / "a.zarr")
    for name in ("rock.vti", "rock.nc", "rock.h5", "rock", "rock.3um"):
        with pytest.raises(ValueError, match=r"use one of \.zarr, \.ome\.zarr, .*\.tif"):
            image.export(tmp_path / name)
        if "." in name:
            with pytest.raises(ValueError, match=r"use one of \.zarr"):
                convert(image.store.root, tmp_path / name)
    for name in ("rock.vti", "rock.tif", "rock.raw", "rock.nc", "rock.zip"):
        for make in (lambda **o: lx.zeros((2, 2, 2), "u1", **o), image.copy, lambda **o: lx.from_array(values, **o)):
            with pytest.raises(ValueError, match="ends like a file of another format; a store is a folder"):
                make(store=tmp_path / name)
    with pytest.raises(ValueError, match=r"compress: no option of a\.tif, a TIFF file"):
        image.export(tmp_path / "a.tif", compress=True)
    assert [path.name for path in tmp_path.iterdir()] == ["a.zarr"]
    assert image.export(tmp_path / "b.zarr") == tmp_path / "b.zarr"
    image.export(tmp_path / "c.ome.zarr")
    np.testing.assert_array_equal(lx.open(tmp_path / "b.zarr")[...], values)
    np.testing.assert_array_equal(lx.open(tmp_path / "c.ome.zarr")[...], values)


@pytest.mark.filterwarnings("ignore:.* has no place")
def test_from_every_format_to_every_other(values, tmp_path):
    first = written("nrrd", values, tmp_path, voxel_length=2.5, voxel_unit="um")
    source = first
    for n, suffix in enumerate(["tif", "zarr", "mha", "raw", "nhdr", "ome.zarr", "mhd", "npy", "zarr"]):
        target = tmp_path / f"{n}.{suffix}"
        convert(source, target)
        np.testing.assert_array_equal(lx.open(target)[...], values)
        assert file_format(target) == {
            "zarr": "zarr",
            "ome.zarr": "ome-zarr",
            "tif": "tiff",
            "npy": "npy",
            "raw": "raw",
        }.get(suffix, "nrrd" if suffix == "nhdr" else "metaimage")
        source = target


def test_a_format_of_another_package(values, tmp_path):
    """What a reader needs is a shape, a type and a `read`; a writer gets the image."""

    class Text:
        shape, dtype = (9, 8, 7), np.dtype("u2")

        def __init__(self, file):
            self.values = np.loadtxt(file, dtype="u2").reshape(9, 8, 7)

        def read(self, box):
            return self.values[box]

        def described(self):
            return {"voxel_length": 2.0, "voxel_unit": "mm"}

    def write(image, file, *, overwrite, progress):
        np.savetxt(file, image[...].reshape(-1, 7), fmt="%d")
        progress(image[...].size)

    lx.register_format(lx.FileFormat("text", (".txt3",), Text, write))
    assert [f.name for f in lx.file_formats()][-1] == "text"
    lx.from_array(values).export(tmp_path / "a.txt3")
    image = lx.open(tmp_path / "a.txt3")
    np.testing.assert_array_equal(image[...], values)
    assert (image.voxel_length, image.voxel_unit) == ((2, 2, 2), "mm")
    np.testing.assert_array_equal(lx.import_file(tmp_path / "a.txt3", tmp_path / "a.zarr", chunks=4)[...], values)
    convert(tmp_path / "a.txt3", tmp_path / "a.tif")
    np.testing.assert_array_equal(tifffile.imread(tmp_path / "a.tif"), values.transpose(2, 1, 0))
    with pytest.raises(ValueError, match="has a name or suffix of the format text; pass replace=True"):
        lx.register_format(lx.FileFormat("other", (".txt3",), Text))
    lx.register_format(lx.FileFormat("other", (".txt3",), Text), replace=True)
    with pytest.raises(ValueError, match=r"lithax does not write \.txt3 files"):
        lx.from_array(values).export(tmp_path / "b.txt3")
    with pytest.raises(ValueError, match="endings in lower case with their dot"):
        lx.FileFormat("x", ("txt",), Text)
    with pytest.raises(ValueError, match="is neither opened nor written"):
        lx.FileFormat("x", (".txt",))


def test_a_resumed_run_notices_that_the_voxels_beside_a_header_changed(values, tmp_path):
    lx.from_array(values).export(tmp_path / "a.nhdr")
    image = lx.open(tmp_path / "a.nhdr")
    first = lx.chunk_map(lambda v: v + 1, image, store=tmp_path / "b.zarr", progress=False)[...]
    lx.from_array(values + 5).export(tmp_path / "a.nhdr", overwrite=True)
    image = lx.open(tmp_path / "a.nhdr")
    with pytest.raises(lx.errors.ResumeError):
        lx.chunk_map(lambda v: v + 1, image, store=tmp_path / "b.zarr", progress=False, resume=True)
    np.testing.assert_array_equal(first, values + 1)


@pytest.mark.parametrize("compression", [None, "zlib"])
def test_verify_reads_a_file_as_a_whole(values, tmp_path, compression):
    options = {"photometric": "minisblack", "compression": compression}
    tifffile.imwrite(tmp_path / "a.tif", values.transpose(2, 1, 0), **options)
    assert lx.verify(tmp_path / "a.tif", progress=False)
    data = (tmp_path / "a.tif").read_bytes()
    (tmp_path / "b.tif").write_bytes(data[: len(data) // 2])
    found = lx.verify(tmp_path / "b.tif", progress=False)
    assert not found
    assert "b.tif" in found.defects[0]
