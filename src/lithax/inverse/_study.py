"""A dual-energy study in one Zarr group: what goes in, how it is worked out, and what came out."""

import hashlib
import json
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np

from lithax.errors import MetadataError
from lithax.grid import World
from lithax.images import (
    Domain,
    VoxelImage,
    check_same,
    domain,
    from_array,
    keyed,
    made_with,
    on_first,
    open_image,
    refuse_memory,
    world_or_connected,
)
from lithax.inverse._draw_coefficients import draw_coefficients
from lithax.inverse._inversion import Inversion, pack
from lithax.inverse._invert import STATISTICS, check_wanted, invert
from lithax.inverse._monotone_pieces import curves
from lithax.inverse._preview import Preview, preview
from lithax.inverse._registration import TOLERATED, shift_between
from lithax.inverse._statistics import StatisticsRequest
from lithax.models import Calibration, Coefficients, Gaussian, Material, Standard, Tabulated
from lithax.storage import Location, dual_energy_group, locate, open_array, own_attributes, write_group

INPUTS = ("low", "high", "mask", "segmentation")
OUTPUTS = "outputs"
_DRAWING = {"draws": 1000, "seed": 0, "calibration_mode": "voxel", "prior": None, "bounds": [0.5, 10.0]}
_INVERTING = {name: value for name, value in STATISTICS.items() if name != "seed"} | {"phases": None}


class Study:
    """Scans, calibration, settings, coefficients and results of a dual-energy inversion, in one
    Zarr group.

    ``lx.dect.Study.create(...)`` makes one; ``lx.open(path).run()`` is then a whole batch script. A
    result is only taken for one if everything it depends on is as it was: `stale` says what is not,
    `run` does that again and nothing else.

    Under several processes all of them make the same calls; the first writes the group, and all
    share the voxels.
    """

    def __init__(self, place: Location, world: World | None = None):
        """Open what is at a place; use `lithax.open`."""
        self._place, self._world = place, world_or_connected(world)
        if self._settings() is None:
            raise MetadataError(
                f"store={place.label} holds no dual-energy study; make one with lx.dect.Study.create(...)."
            )

    @classmethod
    def create(
        cls,
        store: Any,
        low: VoxelImage,
        high: VoxelImage,
        calibration: Calibration,
        *,
        mask: VoxelImage | None = None,
        segmentation: VoxelImage | None = None,
        geometry: str = "same",
        overwrite: bool = False,
        **settings: Any,
    ) -> "Study":
        """Make a study; the images are copied into it.

        Parameters
        ----------
        store
            Where; a path, a URL, or a Zarr store.
        low, high
            Scans on one grid.
        calibration
            Empty space and standards, as from `from_regions`.
        mask
            Boolean, True is left out.
        segmentation
            Unsigned integers; with ``phases=`` only these are worked out.
        geometry
            "same": a `high` that is not on the grid of `low` is refused. "first": it is put there,
            voxel by voxel.
        overwrite
            Replace a study that is there.
        **settings
            See `set`.
        """
        place = locate(store, None)
        for name, image in (("low", low), ("high", high)):
            if not isinstance(image, VoxelImage):
                raise TypeError(f"{name} is a {type(image).__name__}; give an image (lx.open, lx.from_array).")
        if geometry not in ("same", "first"):
            raise ValueError(f"geometry={geometry!r} must be 'same' or 'first'.")
        if low.shape != high.shape or (geometry == "same" and not low.frame.same_grid(high.frame)):
            raise ValueError(
                f"low and high are not on one grid: {low.frame.difference(high.frame, 1e-6)}; correct one of them with image.update(...), "
                "or pass geometry='first' if their voxels correspond all the same."
            )
        moved = {name: getattr(low, name) for name in ("voxel_origin", "voxel_length", "voxel_unit")}
        known = {**_DRAWING, **_INVERTING}
        _check_settings(settings)
        world = low.world
        refuse_memory("store", place.label, place.unshared, world)
        document = {"calibration": calibration.to_dict(), **known, **settings}
        document = json.loads(json.dumps(document))
        check_same(world, "Study.create", lambda: {"store": place.label, "settings": document, "overwrite": overwrite})

        def begin() -> None:
            if place.node() is not None and not overwrite:
                raise FileExistsError(f"store={place.label} is taken; pass overwrite=True to replace what is there.")
            write_group(place, {"lithax": {"study": document}})

        on_first(world, begin)
        for name, image in zip(INPUTS, (low, high, mask, segmentation), strict=True):
            if image is not None:
                own = moved if name == "high" else {}
                image.copy(place.store, place.child(name).path, overwrite=True, world=world, **own)
        return cls(place, world)

    def _settings(self) -> dict[str, Any] | None:
        own = own_attributes(self._place)
        return None if own is None else own.get("study")

    @property
    def settings(self) -> dict[str, Any]:
        """What `set` can change."""
        return {k: v for k, v in (self._settings() or {}).items() if k != "calibration"}

    @property
    def calibration(self) -> Calibration:
        """Empty space and the standards."""
        return Calibration.from_dict((self._settings() or {})["calibration"])

    def _image(self, name: str) -> VoxelImage | None:
        child = self._place.child(name)
        return None if child.node() is None else self._open(child)

    def _open(self, place: Location) -> VoxelImage:
        return open_image(place.store, path=place.path, world=self._world)

    @property
    def low(self) -> VoxelImage:
        """The scan at the low energy."""
        return self._open(self._place.child("low"))

    @property
    def high(self) -> VoxelImage:
        """The scan at the high energy."""
        return self._open(self._place.child("high"))

    @property
    def mask(self) -> VoxelImage | None:
        """What is left out."""
        return self._image("mask")

    @property
    def segmentation(self) -> VoxelImage | None:
        """Phases."""
        return self._image("segmentation")

    def set(self, *, calibration: Calibration | None = None, **settings: Any) -> tuple[str, ...]:
        """Change settings; returns what depends on them and will be worked out again.

        Parameters
        ----------
        calibration
            Other distributions or materials.
        **settings
            Of the coefficients: `draws`, `seed`, `calibration_mode` ("voxel" or "mean"), `prior`
            (mean and standard deviation of n), `bounds`. Of the inversion: `below_air`, `whis`,
            `quantiles`, `moments`, `voxel_noise`, `phases`.
        """
        _check_settings(settings)
        values = self._agreed_settings() | settings
        if calibration is not None:
            values["calibration"] = calibration.to_dict()
        values = json.loads(json.dumps(values))
        check_same(self._world, "Study.set", lambda: {"settings": values})
        self._write(values)
        return self.stale()

    def replace(self, name: str, image: VoxelImage) -> tuple[str, ...]:
        """Put another image in the place of "low", "high", "mask" or "segmentation"; returns what
        depends on it.
        """
        if name not in INPUTS:
            raise ValueError(f"name={name!r} must be one of {INPUTS}.")
        image.copy(self._place.store, self._place.child(name).path, overwrite=True, world=self._world)
        return self.stale()

    def _write(self, values: dict[str, Any]) -> None:
        on_first(self._world, lambda: write_group(self._place, {"lithax": {"study": json.loads(json.dumps(values))}}))

    def _agreed_settings(self) -> dict[str, Any]:
        """Return what the first process reads: another one might read what that writes a moment
        later.
        """
        return dict(self._world.broadcast(on_first(self._world, self._settings)) or {})

    def _keys(self, values: dict[str, Any]) -> dict[str, str]:
        """Return a digest of everything that each step depends on."""
        drawing = {k: values[k] for k in ("calibration", *_DRAWING)}
        inverting: dict[str, Any] = {k: values[k] for k in _INVERTING}
        for name in INPUTS:
            image = self._image(name)
            inverting[name] = None if image is None else image.content_hash()
        first = _digest(drawing)
        seed = values["seed"] if values["voxel_noise"] else None
        return {"coefficients": first, "outputs": _digest([first, inverting, seed])}

    def stale(self) -> tuple[str, ...]:
        """Return which of "coefficients" and "outputs" are missing, or made of other inputs than
        those that are there.
        """
        keys = self._keys(self._agreed_settings())
        return tuple(name for name, key in keys.items() if not self._is_made(name, key))

    def _is_made(self, name: str, key: str) -> bool:
        """Whether a step was done to the end, with what it depends on now: its results say with
        what.
        """

        def look() -> bool:
            step = self._place.child(name)
            places = [step] if name == "coefficients" else [step.child(n) for n in self._wanted().names]
            found = [None if p.node() is None else open_array(p, read_only=True).metadata for p in places]
            return all(m is not None and m.state == "complete" and made_with(m.run, key) for m in found)

        return bool(self._world.broadcast(on_first(self._world, look)))

    @property
    def coefficients(self) -> Coefficients:
        """The draws, worked out if they are stale."""
        values = self._agreed_settings()
        key = _digest({k: values[k] for k in ("calibration", *_DRAWING)})
        child = self._place.child("coefficients")
        if not self._is_made("coefficients", key):
            prior = None if values["prior"] is None else tuple(values["prior"])
            drawn = draw_coefficients(
                self.calibration,
                draws=values["draws"],
                seed=values["seed"],
                calibration=values["calibration_mode"],
                prior=prior,
                bounds=tuple(values["bounds"]),
                progress=False,
            )
            columns = [np.asarray(v, np.float64) for v in (drawn.air, drawn.A, drawn.B, drawn.n)]
            valid = np.repeat(np.asarray(drawn.valid, np.float64)[:, None], 2, axis=1)
            table = np.stack([*columns, valid], axis=2)
            made = from_array(
                table,
                store=self._place.store,
                path=child.path,
                overwrite=True,
                field_name="air, A, B, n, valid",
                world=self._world,
            )
            on_first(self._world, lambda: made.stored.update_metadata(run={"computation": keyed(key)}))
        table = np.asarray(self._open(child))
        air, a, b, n = (table[:, :, k].copy() for k in range(4))
        return Coefficients(air, a, b, n, table[:, 0, 4] > 0.5)

    def _wanted(self) -> StatisticsRequest:
        values = self._settings() or {}
        return check_wanted(
            values["below_air"], values["whis"], values["quantiles"], values["moments"], values["voxel_noise"], values["seed"]
        )  # fmt: skip

    def _where(self) -> Domain | None:
        values = self._settings() or {}
        mask, segmentation = self.mask, self.segmentation
        phases = values["phases"] if segmentation is not None else None
        if mask is None and phases is None:
            return None
        return domain(exclude=mask, segmentation=segmentation if phases is not None else None, phases=phases)

    def check(self) -> tuple[str, ...]:
        """Look for what would spoil a long run; returns what it found, in words."""
        found = []
        low, high = self.low, self.high
        if not low.frame.same_grid(high.frame):
            found.append(f"low and high are not on one grid: {low.frame.difference(high.frame, 1e-6)}.")
        shift = shift_between(low, high, warn=False)
        if max(map(abs, shift)) > TOLERATED:
            found.append(
                f"the scans are shifted against each other by {tuple(round(s, 2) for s in shift)} voxels; see lx.dect.shifted."
            )
        coefficients = self.coefficients
        share = float(np.mean(np.asarray(coefficients.valid)))
        if share < 0.5:
            found.append(f"only {100 * share:.0f} % of the draws have a calibration, no fair sample of it.")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found += preview(low, high, coefficients).warnings
        return tuple(found)

    def preview(self, box: Sequence[slice] | None = None) -> Preview:
        """Invert a part, and say what to expect of the rest; see `lithax.dect.preview`."""
        values = self._settings() or {}
        options = {k: values[k] for k in _INVERTING if k != "phases"} | {"seed": values["seed"]}
        return preview(self.low, self.high, self.coefficients, box, **options)

    def run(self, *, resume: bool = True, progress: bool = True, **options: Any) -> Inversion:
        """Work out what is stale, and return the results.

        Parameters
        ----------
        resume
            Go on with a run that was interrupted; False begins the outputs again.
        progress
            Say what is done, and show a bar.
        **options
            `workers`, `memory_limit`, `world`, `device`, `backend`, as of `invert`.
        """
        if (world := options.pop("world", None)) is not None:
            return Study(self._place, world).run(resume=resume, progress=progress, **options)
        stale = self.stale()
        if progress and self._world.first:
            print(f"study: {' and '.join(stale) or 'nothing'} to be worked out", flush=True)  # noqa: T201
        if resume and "outputs" not in stale:
            return self.outputs
        coefficients = self.coefficients
        values = self._agreed_settings()
        settings = {k: values[k] for k in _INVERTING if k != "phases"} | {"seed": values["seed"]}
        return invert(
            self.low,
            self.high,
            coefficients,
            where=self._where(),
            store=self._place.store,
            path=self._place.child(OUTPUTS).path,
            overwrite=True,
            resume=resume,
            resume_key=self._keys(values)["outputs"],
            progress=progress,
            **settings,
            **options,
        )

    @property
    def outputs(self) -> Inversion:
        """The results, as images.

        Raises
        ------
        RuntimeError
            If they are missing, or do not belong to what is in the study now.
        """
        if "outputs" in self.stale():
            raise RuntimeError(
                "the outputs are missing, or were made of other inputs or settings; run() works them out."
            )
        wanted = self._wanted()
        images = [self._open(self._place.child(OUTPUTS).child(name)) for name in wanted.names]
        table = curves(self.coefficients)
        return pack(images, wanted, table.draws, table.usable)

    def __repr__(self) -> str:
        return f"Study({self._place.label}, shape {self.low.shape}, {self.settings['draws']} draws)"


class RockVerseGroup:
    """A dual-energy group that RockVerse wrote, read only: its scans, materials, coefficients and
    results.
    """

    def __init__(self, place: Location):
        """Open what is at a place; use `lithax.open`."""
        read = dual_energy_group(place)
        if read is None:
            raise MetadataError(f"store={place.label} is no dual-energy group of RockVerse.")
        self._place = place
        self.attributes, self._tables = read

    def image(self, name: str) -> VoxelImage | None:
        """Return one of its images: "lowECT", "highECT", "mask", "segmentation", "rho_p50",
        "Z_p50", ...; None if it has none.
        """
        child = self._place.child(name)
        return None if child.node() is None else open_image(self._place.store, path=child.path, mode="r")

    @property
    def calibration(self) -> Calibration:
        """Its materials with their distributions, normal ones where they were given, curves
        otherwise.
        """
        described = self.attributes["calibration_material"]
        standards = []
        for index in range(4):
            entry = described[str(index)]
            distributions = []
            for energy in ("lowE", "highE"):
                pair, table = entry.get(f"{energy}_gaussian_pdf"), self._tables.get(f"{energy}_standard{index}_pdf")
                if pair is not None:
                    distributions.append(Gaussian(*pair))
                elif table is not None:
                    distributions.append(Tabulated(table[:, 0], table[:, 1]))
                else:
                    raise ValueError(f"calibration material {index} has no distribution at the {energy[:-1]} energy.")
            material = None
            if index:
                if not entry.get("composition") or not entry.get("bulk_density"):
                    raise ValueError(f"calibration material {index} lacks its composition or its bulk density.")
                name = entry.get("description") or f"material {index}"
                material = Material(name, entry["composition"], entry["bulk_density"])
            standards.append(Standard(material, distributions))
        return Calibration(standards[0], standards[1:])

    @property
    def coefficients(self) -> Coefficients | None:
        """Its draws; None if there are none yet."""
        if not {"matrixl", "matrixh"} <= self._tables.keys():
            return None
        rows = [self._tables["matrixl"], self._tables["matrixh"]]
        return Coefficients(*(np.stack([r[:, column] for r in rows], axis=1) for column in (0, 7, 8, 9)))

    def to_study(self, store: Any, **settings: Any) -> Study:
        """Make a study of its scans and materials; its own results are left behind."""
        low, high = self.image("lowECT"), self.image("highECT")
        if low is None or high is None:
            raise ValueError("the group lacks lowECT or highECT.")
        images = {"mask": self.image("mask"), "segmentation": self.image("segmentation")}
        return Study.create(store, low, high, self.calibration, **images, **settings)

    def __repr__(self) -> str:
        return f"RockVerseGroup({self._place.label}: {', '.join(self._place.children()) or 'empty'})"


def open_study(place: Location, world: World | None = None) -> Study | RockVerseGroup:
    """Open a study, or a dual-energy group of RockVerse."""
    return RockVerseGroup(place) if dual_energy_group(place) is not None else Study(place, world)


def _check_settings(settings: dict[str, Any]) -> None:
    known = {**_DRAWING, **_INVERTING}
    for name in settings:
        if name not in known:
            raise TypeError(f"a study has no setting {name!r}; its settings are: {', '.join(known)}.")


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()
