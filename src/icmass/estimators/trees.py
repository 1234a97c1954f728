"""Ensembles of regression trees as plain arrays: exported from scikit-learn, stored, traversed."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from sklearn.ensemble import HistGradientBoostingRegressor, RandomForestRegressor

_AT_ONCE = 2_000_000  # nodes in hand


@dataclass(frozen=True)
class TreeEnsemble:
    """Regression trees, all of their nodes in one array; the prediction adds one leaf of each.

    A leaf is a node that is its own child on both sides.

    Attributes
    ----------
    root : ndarray of int, shape (tree,)
        The first node of each tree.
    feature : ndarray of int, shape (node,)
        The feature that the node looks at.
    threshold : ndarray, shape (node,)
        A feature of this or less goes left.
    left, right : ndarray of int, shape (node,)
        The children.
    missing_left : ndarray of int, shape (node,)
        1 where a feature that is NaN goes left.
    value : ndarray, shape (node,)
        What a leaf adds.
    settings : ndarray, shape (3,)
        The prediction without any tree, the greatest depth, and 1 if features are rounded to
        single precision before they are compared, as scikit-learn's forests do.
    """

    root: np.ndarray
    feature: np.ndarray
    threshold: np.ndarray
    left: np.ndarray
    right: np.ndarray
    missing_left: np.ndarray
    value: np.ndarray
    settings: np.ndarray

    @classmethod
    def of_boosting(cls, model: HistGradientBoostingRegressor) -> TreeEnsemble:
        """Return the trees of fitted gradient boosting (identity link, no categories)."""
        parts = []
        for (predictor,) in model._predictors:
            nodes = predictor.nodes
            parts.append(
                {
                    "feature": nodes["feature_idx"],
                    "threshold": nodes["num_threshold"],
                    "left": nodes["left"].astype("i8"),
                    "right": nodes["right"].astype("i8"),
                    "missing_left": nodes["missing_go_to_left"],
                    "value": nodes["value"],
                    "leaf": nodes["is_leaf"].astype(bool),
                    "depth": nodes["depth"].max(initial=0),
                }
            )
        return cls._joined(parts, float(np.ravel(model._baseline_prediction)[0]), single=False)

    @classmethod
    def of_forest(cls, model: RandomForestRegressor) -> TreeEnsemble:
        """Return the trees of a fitted random forest, each with its share of the mean."""
        parts = []
        for estimator in model.estimators_:
            tree = estimator.tree_
            parts.append(
                {
                    "feature": tree.feature,
                    "threshold": tree.threshold,
                    "left": tree.children_left,
                    "right": tree.children_right,
                    "missing_left": tree.missing_go_to_left,
                    "value": tree.value[:, 0, 0] / len(model.estimators_),
                    "leaf": tree.children_left < 0,
                    "depth": tree.max_depth,
                }
            )
        return cls._joined(parts, 0.0, single=True)

    @classmethod
    def _joined(cls, parts: list[dict[str, Any]], baseline: float, *, single: bool) -> TreeEnsemble:
        sizes = np.array([len(part["value"]) for part in parts], int)
        root = np.cumsum(sizes) - sizes
        for start, part in zip(root, parts, strict=True):
            own = start + np.arange(len(part["value"]))
            for side in ("left", "right"):
                part[side] = np.where(part["leaf"], own, start + part[side])
            part["feature"] = np.where(part["leaf"], 0, part["feature"])
            part["threshold"] = np.where(part["leaf"], 0.0, part["threshold"])

        def joined(name: str, dtype: str) -> np.ndarray:
            return np.concatenate([np.asarray(part[name]) for part in parts]).astype(dtype)

        depth = max((int(part["depth"]) for part in parts), default=0)
        return cls(
            root=root.astype("i4"),
            feature=joined("feature", "i4"),
            threshold=joined("threshold", "f8"),
            left=joined("left", "i4"),
            right=joined("right", "i4"),
            missing_left=joined("missing_left", "u1"),
            value=joined("value", "f8"),
            settings=np.array([baseline, depth, single], float),
        )

    @property
    def n_leaves(self) -> int:
        """Number of leaves: values that were fitted."""
        return int(np.count_nonzero(self.left == np.arange(len(self.left))))

    def predict(self, features: np.ndarray) -> np.ndarray:
        """Return the prediction, shape (n,), of features, shape (n, feature); NaN is missing."""
        baseline, depth, single = self.settings
        features = np.asarray(features, "f4" if single else "f8").astype("f8")
        out = np.full(len(features), baseline)
        at_once = max(_AT_ONCE // max(len(self.root), 1), 1)
        for start in range(0, len(features), at_once):
            part = features[start : start + at_once]
            rows = np.arange(len(part))[:, None]
            node = np.repeat(self.root[None], len(part), 0)
            for _ in range(int(depth)):
                seen = part[rows, self.feature[node]]
                goes_left = np.where(
                    np.isnan(seen), self.missing_left[node] == 1, seen <= self.threshold[node]
                )
                node = np.where(goes_left, self.left[node], self.right[node])
            out[start : start + at_once] += self.value[node].sum(1)
        return out

    def arrays(self, prefix: str) -> dict[str, np.ndarray]:
        """Return what is stored, the names after a prefix."""
        return {f"{prefix}.{key}": values for key, values in vars(self).items()}

    @classmethod
    def of_arrays(cls, arrays: dict[str, np.ndarray], prefix: str) -> TreeEnsemble:
        """Return what `arrays` has stored.

        Raises
        ------
        KeyError, ValueError
            If an array is missing, or they make no trees.
        """
        held = {field.name: arrays[f"{prefix}.{field.name}"] for field in fields(cls)}
        nodes = len(held["value"])
        of_nodes = ("feature", "threshold", "left", "right", "missing_left")
        if any(held[name].shape != (nodes,) for name in of_nodes) or held["settings"].shape != (3,):
            raise ValueError(f"the arrays of {prefix} have different lengths")
        for name in ("root", "left", "right"):
            if held[name].size and not (held[name].min() >= 0 and held[name].max() < nodes):
                raise ValueError(f"{prefix}.{name} points out of the trees")
        return cls(**held)
