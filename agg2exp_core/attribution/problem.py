"""Derivatives of the sliding-window model with respect to the scan, window by window.

``e_c = sum_w J_w^T (I / N * u_c)``: the gradient through the stitched volume, without ever holding
its graph. One forward pass of a window serves all its classes, and a class without a voxel in a
window costs nothing there. The windows sweep along the first axis: planes that no later window
covers are finished for every class, and leave.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import NamedTuple

import torch

from agg2exp_core.attribution.masks import Aggregation, CleanMasks, Cotangents
from agg2exp_core.execution import Slab, alike, made_ahead
from agg2exp_core.prediction import as_image, runner_up, spatial_shape
from agg2exp_core.types import Mask, Prediction, Scan, SegmentationModel
from agg2exp_core.windows import Blending, Row, Tiling

Progress = Callable[[int, int], None]
"""Called with the number of windows done and their total."""

ReadPlanes = Callable[[slice], torch.Tensor]
"""From planes of the first axis to those of a scan ``[C, n, Y, Z]``."""


class Point(NamedTuple):
    """A scan at which gradients are taken.

    Parameters
    ----------
    read : callable
        Its planes, made when they are needed: the clean scan's, or perturbed ones.
    weight : float
        Factor of its gradient in the sum.
    """

    read: ReadPlanes
    weight: float = 1.0


class Visit(NamedTuple):
    """A window at a point.

    Parameters
    ----------
    window : int
        Which window.
    point : Point
        Where the gradient is taken.
    cotangents : Cotangents
        Those of the point.
    """

    window: int
    point: Point
    cotangents: Cotangents

    @property
    def present(self) -> frozenset[int]:
        """The classes with a cotangent there: as many backward passes."""
        return self.cotangents.present[self.window]


@dataclass(frozen=True, eq=False)
class Problem:
    """One scan, one model, one aggregation: what a method is asked to explain.

    Parameters
    ----------
    model : SegmentationModel
        The model.
    image : torch.Tensor, shape [C, X, Y, Z]
        The clean scan in the model's type, on its device.
    tiling : Tiling
        The windows over it.
    clean : CleanMasks
        The masks, fixed.
    aggregation : Aggregation
        How logits become one number a class.
    window_batch : int
        Windows per pass of the network.
    noise_address : tuple
        The seed and the scan's id: where its noise comes from.
    progress : callable
        Told how far the work is.
    """

    model: SegmentationModel
    image: torch.Tensor
    tiling: Tiling
    clean: CleanMasks
    aggregation: Aggregation
    window_batch: int = 1
    noise_address: tuple[object, ...] = ()
    progress: Progress = lambda done, total: None

    @classmethod
    def of(
        cls,
        model: SegmentationModel,
        scan: Scan | torch.Tensor,
        prediction: Prediction,
        aggregation: Aggregation,
        roi: Mask | None = None,
        seed: int = 0,
        progress: Progress = lambda done, total: None,
    ) -> Problem:
        """Return what there is to explain in a scan, or a tensor ``[C, X, Y, Z]``, of a known prediction."""
        image = as_image(model, scan)
        tiling = Tiling(model.windows, spatial_shape(image))
        second = partial(runner_up, model, image) if aggregation.contrasts else lambda labels: None
        return cls(
            model=model,
            image=image,
            tiling=tiling,
            clean=CleanMasks.of(prediction, roi, tiling, image, second),
            aggregation=aggregation,
            noise_address=(seed, scan.scan_id if isinstance(scan, Scan) else ""),
            progress=progress,
        )

    def present(self, classes: Sequence[int]) -> list[int]:
        """Return those of the classes that have a voxel."""
        present = self.clean.present
        return [c for c in classes if c in present]

    @cached_property
    def blending(self) -> Blending:
        """The weights ``I / N``."""
        return self.tiling.blending(self.image.device, self.image.dtype)

    @cached_property
    def _fixed_cotangents(self) -> Cotangents:
        return self.aggregation.cotangents(self.clean, None)

    def read(self, planes: slice) -> torch.Tensor:
        """Return planes of the clean scan ``[C, n, Y, Z]``."""
        return self.image[:, planes]

    def cotangents(self, read: ReadPlanes | None = None) -> Cotangents:
        """Return the cotangents for a scan, by default the clean one; the masks stay that one's."""
        if self.aggregation.linear:
            return self._fixed_cotangents
        return self.aggregation.cotangents(self.clean, self._own_logit(read or self.read))

    @torch.no_grad()
    def _own_logit(self, read: ReadPlanes) -> torch.Tensor:
        """Logit of each voxel's class of the clean scan, ``[*padded scan]``."""
        stitched = self.image.new_zeros(self.tiling.padded_shape)
        for i, logits in self._logits(read, lambda i: True):
            window = self.tiling.windows[i]
            own = self.clean.labels[window].clamp(min=0).long()[None]
            stitched[window] += logits.gather(0, own)[0] * self.blending.weight(window)
        return stitched

    def logits(self, inputs: torch.Tensor, indices: Sequence[int]) -> torch.Tensor:
        """Return what the cotangents read of some windows ``[B, L, *window]``, from ``[B, C, *window]``.

        The network's logits; with ``margin`` less those of each voxel's runner-up.
        """
        windows = [self.tiling.windows[i] for i in indices]
        return self.clean.contrast(self.model.logits(inputs), windows)

    def _logits(self, read: ReadPlanes, wanted: Callable[[int], bool]) -> Iterator[tuple[int, torch.Tensor]]:
        """Yield index and `logits` ``[L, *window]`` of the windows, of the batches with a wanted one."""
        for row in self.tiling.rows:
            slab = self._slab(read, row)
            for batch in row.batches(self.window_batch):
                if any(map(wanted, batch)):
                    yield from zip(batch, self.logits(self.tiling.gather(slab, batch), batch), strict=True)

    def _slab(self, read: ReadPlanes, row: Row) -> torch.Tensor:
        """Return the planes under a row of windows, padded ``[C, wx, *padded Y and Z]``."""
        return self.tiling.pad(read(self.tiling.planes_of_scan(row.planes)))

    @torch.no_grad()
    def outputs(self, image: torch.Tensor, classes: Sequence[int]) -> torch.Tensor:
        """Return the aggregated outputs ``f_hat_c`` of a scan, float64 ``[len(classes)]``."""

        def read(planes: slice) -> torch.Tensor:
            return image[:, planes]

        cotangents = self.cotangents(read)
        totals = torch.zeros(len(classes), dtype=torch.float64, device=image.device)
        for i, logits in self._logits(read, lambda i: bool(cotangents.present[i].intersection(classes))):
            window = self.tiling.windows[i]
            inside = cotangents.inside(window, self.blending.weight(window))
            for k, c in enumerate(classes):
                if c in cotangents.present[i]:
                    totals[k] += (inside(c) * logits[c]).double().sum()
        return totals.cpu()

    def gradients(self, image: torch.Tensor, classes: Sequence[int]) -> torch.Tensor:
        """Return the gradient of each class's aggregated output ``[K, C, X, Y, Z]``.

        Parameters
        ----------
        image : torch.Tensor, shape [C, X, Y, Z]
            The scan to differentiate at, clean or perturbed; the masks stay the clean scan's.
        classes : sequence of int
            The K classes.
        """
        return self.gradients_and_outputs(image, classes)[0]

    def gradients_and_outputs(
        self, image: torch.Tensor, classes: Sequence[int]
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return `gradients`, and from the same passes the outputs themselves, float64 ``[K]``."""
        total = image.new_empty((len(classes), *image.shape))
        outputs = torch.zeros(len(classes), dtype=torch.float64, device=image.device)
        point = Point(lambda planes: image[:, planes])
        for planes, values in self.sweep(classes, [point], outputs=outputs):
            total[:, :, planes] = values
        return total, outputs

    def sweep(
        self,
        classes: Sequence[int],
        points: Sequence[Point],
        *,
        outputs: torch.Tensor | None = None,
        progress: Progress = lambda done, total: None,
    ) -> Iterator[tuple[slice, torch.Tensor]]:
        """Yield the weighted sum of the gradients at some points, in planes, as they are finished.

        Parameters
        ----------
        classes : sequence of int
            The K classes.
        points : sequence of Point
            Where to differentiate. They are the inner loop: each group of windows over the same
            planes sees all of them before the next group begins, as many together as pass together.
        outputs : torch.Tensor of float64, shape [K], optional
            Where to add the weighted sum of the aggregated outputs.
        progress : callable
            Told the windows done and their total, at all points.

        Yields
        ------
        slice
            Planes of the scan, in order, each once.
        torch.Tensor, shape [K, C, n, Y, Z]
            Their values: a view that the next step overwrites.

        Notes
        -----
        What is held does not grow with the scan: a slab as thick as a window for each class, and
        the planes of the perturbed scans whose windows pass together (beside a GPU those of the next
        too). An aggregation that is not linear takes a pass over each point beforehand, which holds
        one volume of logits.
        """
        pairs = [(point, self.cotangents(point.read)) for point in points]
        groups = [pairs[i : i + self.window_batch] for i in range(0, len(pairs), self.window_batch)]
        steps = [(row, self._visits(row, group, classes)) for row in self.tiling.rows for group in groups]
        made = made_ahead([partial(self._inputs, *step) for step in steps], self.image.device)
        sums = Slab.zeros(self.tiling, (len(classes), self.image.shape[0]), self.image)
        n_done, n_total = 0, len(points) * len(self.tiling.windows)
        for row in self.tiling.rows:
            for group in groups:
                visits, n_visited = next(made), n_done
                for batch in alike([len(visit.present) for visit, _ in visits], self.window_batch):
                    self._add_batch([visits[b] for b in batch], classes, sums, outputs)
                    n_visited += len(batch)
                    progress(n_visited, n_total)
                n_done += len(group) * len(row.indices)  # those without a class too
                if n_visited < n_done:
                    progress(n_done, n_total)
            yield from sums.leaving(row)

    def _visits(
        self, row: Row, group: Sequence[tuple[Point, Cotangents]], classes: Sequence[int]
    ) -> list[Visit]:
        """Return the windows of a row that hold a class, at some points; none if it is not asked for any.

        Which they are depends on the masks of all classes: whichever are asked for, a window meets
        the same companions in the network, so that its numbers are the same bit for bit.
        """
        visits = [
            Visit(i, point, of_point) for i in row.indices for point, of_point in group if of_point.present[i]
        ]
        return visits if any(visit.present.intersection(classes) for visit in visits) else []

    def _inputs(self, row: Row, visits: Sequence[Visit]) -> list[tuple[Visit, torch.Tensor]]:
        """Return visits of a row, each with the planes under it of its point."""
        points = {id(visit.point): visit.point for visit in visits}
        slabs = {key: self._slab(point.read, row) for key, point in points.items()}
        return [(visit, slabs[id(visit.point)]) for visit in visits]

    @torch.enable_grad()
    def _add_batch(
        self,
        batch: Sequence[tuple[Visit, torch.Tensor]],
        classes: Sequence[int],
        sums: Slab,
        outputs: torch.Tensor | None,
    ) -> None:
        """Add the weighted gradients ``[K, C, wx, Y, Z]`` and outputs ``[K]`` of some windows.

        In round r every window of a batch back-propagates its own r-th class: windows do not
        meet in the network, so one backward pass serves as many classes as there are windows.
        """
        wanted = [[k for k, c in enumerate(classes) if c in visit.present] for visit, _ in batch]
        n_rounds = max(map(len, wanted))
        if n_rounds == 0:
            return
        windows = [self.tiling.windows[visit.window] for visit, _ in batch]
        inputs = torch.cat([self.tiling.gather(slab, [visit.window]) for visit, slab in batch])
        inputs.requires_grad_()
        logits = self.logits(inputs, [visit.window for visit, _ in batch])  # [B, L, *window]
        inside = [
            visit.cotangents.inside(window, self.blending.weight(window) * visit.point.weight)
            for (visit, _), window in zip(batch, windows, strict=True)
        ]
        upstream = torch.zeros_like(logits)
        for r in range(n_rounds):
            members = [(b, ks[r], classes[ks[r]]) for b, ks in enumerate(wanted) if r < len(ks)]
            for b, _, c in members:
                upstream[b, c] = inside[b](c)
            if outputs is not None:
                for b, k, c in members:
                    outputs[k] += (upstream[b, c] * logits.detach()[b, c]).double().sum()
            (gradient,) = torch.autograd.grad(logits, inputs, upstream, retain_graph=r + 1 < n_rounds)
            for b, k, c in members:
                sums.under(windows[b])[k] += gradient[b]
                upstream[b, c] = 0
