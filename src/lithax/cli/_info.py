"""``lithax info``."""

from typing import Any

import click

from lithax.cli._parameters import PATH, alone, raw_layout, tell


@click.command("info")
@click.argument("store", metavar="IMAGE")
@PATH
@raw_layout()
@click.option("--statistics", is_flag=True, help="Also read all voxels: smallest, largest, mean, percentiles.")
@tell
@alone
def info_command(store: str, path: str | None, statistics: bool, **options: Any) -> None:
    """Show what an image is, without reading its voxels.

    IMAGE is a folder such as rock.zarr, a URL, a file (TIFF, raw, .npy, NRRD, MetaImage), or a
    folder of TIFF slices. Of Zarr, images of lithax and RockVerse, three-dimensional arrays and
    levels of OME-Zarr are understood.

    \b
    lithax info rock.zarr
    lithax info rock.zarr --statistics
    lithax info scan.tif
    lithax info s3://bucket/rock.zarr --path scan
    """
    from lithax.images import open as open_image
    from lithax.measure import histogram, moments

    given = {name: value for name, value in options.items() if value is not None}
    image = open_image(store, path=path, mode="r", incomplete=True, **given)
    unit = f" {image.voxel_unit}" if image.voxel_unit else ""

    def lengths(values: tuple[float, ...]) -> str:
        return " x ".join(f"{v:.6g}" for v in values) + unit

    metadata = image.metadata
    made_by = (metadata.provenance or {}).get("function", "") if isinstance(metadata.provenance, dict) else ""
    rows = {
        "field": f"{image.field_name} [{image.field_unit}]" if image.field_unit else image.field_name,
        "description": image.description,
        "shape": " x ".join(map(str, image.shape)),
        "dtype": str(image.dtype),
        "size": (f"{image.nbytes / 2**20:.4g} MiB" if image.nbytes >= 2**20 else f"{image.nbytes:,} bytes")
        + " uncompressed",
        "chunks": " x ".join(map(str, image.chunks)) + f" ({image.nchunks})",
        "shards": "" if image.shards is None else " x ".join(map(str, image.shards)),
        "levels": "; ".join(
            f"{' x '.join(map(str, level.shape))} (voxel {lengths(level.voxel_length)})" for level in image.levels
        ),
        "voxel length": lengths(image.voxel_length),
        "voxel origin": lengths(image.voxel_origin),
        "dimensions": lengths(image.dimensions),
        "made by": made_by,
        "content hash": metadata.content_hash or "",
        "state": metadata.state,
        "store": image.stored.where,
    }
    _show(rows)
    if statistics:
        levels, found = histogram(image), moments(image, skip_nan=True)
        low, middle, high = levels.percentile([1, 50, 99])
        _show(
            {
                "minimum": f"{levels.minimum:.6g}",
                "maximum": f"{levels.maximum:.6g}",
                "mean": f"{found.mean:.6g}",
                "deviation": f"{found.standard_deviation:.6g}",
                "percentiles": f"{low:.6g} (1 %), {middle:.6g} (50 %), {high:.6g} (99 %)",
            }
        )


def _show(rows: dict[str, str]) -> None:
    for name, value in rows.items():
        if value:
            click.echo(f"{name:<14}{value}")
