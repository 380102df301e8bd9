"""A teacher and a student as the theory sees them: features, logits, labels, and the head that both are measured with."""

from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from kd2m_theory.arrays import (
    IGNORED,
    Float64,
    Int64,
    Stored,
    group_numbers,
    in_order_of_appearance,
    real_array,
    to_numpy,
)
from kd2m_theory.errors import InputError
from kd2m_theory.files import check_writable
from kd2m_theory.labels import as_texts, check_class_names, check_range, encoded_labels
from kd2m_theory.logits import Logits, in_file
from kd2m_theory.pair_files import ROWS, STUDENT, Contents, read_pair, write_pair
from kd2m_theory.predictions import (
    FLOOR,
    check_floor,
    floor_words,
    logarithms,
    logits_matrix,
    probability_matrix,
)
from kd2m_theory.side_by_side import column_blocks, row_blocks
from kd2m_theory.tokens import flattened
from kd2m_theory.version import __version__

if TYPE_CHECKING:
    from torch import nn

    from kd2m_theory.model_heads import Place, Where

# Beyond this squares and products of features, weights and logits leave float64.
_LARGEST = 1e150
# A float32 network and its head replayed in float64 differ by rounding (TF32 included); more means another layer.
_HEAD_TOLERANCE = 5e-3


class _InFloat64:
    """An attribute of a pair, n × K logits in float64 or None, whatever they are stored in."""

    def __set_name__(self, owner: type, name: str) -> None:
        self._stored = f"stored_{name}"

    def __get__(self, pair: "Pair | None", owner: type) -> Float64 | None:
        if pair is None:
            raise AttributeError  # a field without a default
        logits: Logits | None = getattr(pair, self._stored)
        if logits is None:
            return None
        found = logits[:]
        found.setflags(write=False)
        return found


@dataclass(frozen=True, eq=False, init=False, repr=False)
class Pair:
    """What a trained teacher and a trained student make of one sample.

    Args:
        features_teacher: n × d features z_T that enter the teacher's head; None if only logits are known.
        features_student: n × d_S features z_S that enter the student's head.
        labels: n true classes in 0..K−1, or values among `class_names`; None for unlabelled data. Rows labelled −100 are left
            out, on both sides where the inputs are paired.
        logits_teacher: n × K; computed from the head if None. One column z of a sigmoid, (n,) or n × 1, is taken as [0, z].
            Float32 stays float32, and an array of `np.load(file, mmap_mode="r")` stays in its file, which must not change
            then; audits read both in blocks, in float64. As an attribute they are float64, in general a copy at each access;
            so `dataclasses.replace` makes a pair in float64.
        logits_student: n × K of the student's own head, or one column; None means that the student uses the teacher's head.
            Stored likewise.
        head_weight: K × d weight W of the teacher's linear head, the head that feature bounds are about; 1 × d for a sigmoid.
        head_bias: K biases b; zeros if None.
        inputs_paired: whether row i of both networks comes from the same input. The data cannot show it: the user vouches.
        labels_student: classes of the student's rows, only when the inputs are not paired.
        provenance: words about where the pair comes from; saved with it. The pair adds what it did to what it was given.
        groups: n numbers or names, equal for rows that belong together: the tokens of a text, the frames of a video, the
            images of a patient. Rows of one group need not be independent of each other, groups are. What is said about the
            population is then about the mean over groups of the mean within a group. Kept as numbers 0..G−1.
        probabilities_teacher: instead of `logits_teacher`, n × K rows ≥ 0 that sum to 1 within float32 rounding, or one column
            with the probability of class 1, (n,) or n × 1; their natural logarithms become the logits.
        probabilities_student: likewise.
        class_names: what each class is called in `labels`, in the order of the columns: texts, or numbers such as 1…K. Kept as
            texts, with which reports name the classes.
        probability_floor: least probability; smaller ones are raised to it before the logarithm is taken. A true class of
            probability zero then costs −ln of it (36 nats at 2⁻⁵²) where it would cost infinitely much; the provenance says
            how many there are and what they are of the mean loss.
        row_numbers: n different whole numbers ≥ 0 by which reports name the rows, such as positions in a larger file; 0…n−1 if
            None. Rows that are left out are counted: of labels (0, −100, 1) the rows that are kept have the numbers 0 and 2.
            Only for paired inputs. None where they are 0…n−1 in order.

    Raises:
        InputError: shapes that disagree, fewer than two samples, NaN or infinite values, float16, labels outside 0..K−1,
            probabilities given as logits, rows that are not probabilities, or teacher logits that the head does not produce
            from the teacher's features.

    Example:
        >>> from kd2m_theory import Pair
        >>> forest, regression = [[1.0, 0.0], [0.25, 0.75]], [[0.8, 0.2], [0.5, 0.5]]
        >>> names = ["cat", "dog"]
        >>> pair = Pair(
        ...     labels=["cat", "dog"], probabilities_teacher=forest, probabilities_student=regression, class_names=names
        ... )
        >>> pair.labels.tolist(), pair.logits_student[0].round(2).tolist()
        ([0, 1], [-0.22, -1.61])
    """

    features_teacher: Float64 | None
    features_student: Float64 | None
    labels: Int64 | None
    head_weight: Float64 | None
    head_bias: Float64 | None
    inputs_paired: bool
    labels_student: Int64 | None
    logits_teacher: _InFloat64 = _InFloat64()
    logits_student: _InFloat64 = _InFloat64()
    provenance: Mapping[str, str] = field(default_factory=dict)
    groups: Int64 | None = None
    class_names: tuple[str, ...] | None = None
    row_numbers: Int64 | None = None

    def __init__(
        self,
        features_teacher: Any = None,
        features_student: Any = None,
        labels: Any = None,
        logits_teacher: Any = None,
        logits_student: Any = None,
        head_weight: Any = None,
        head_bias: Any = None,
        inputs_paired: bool = True,
        labels_student: Any = None,
        provenance: Mapping[str, str] | None = None,
        groups: Any = None,
        *,
        probabilities_teacher: Any = None,
        probabilities_student: Any = None,
        class_names: Sequence[Hashable] | None = None,
        probability_floor: float = FLOOR,
        row_numbers: Any = None,
    ) -> None:
        given = {"features_teacher": features_teacher, "features_student": features_student, "head_weight": head_weight}
        arrays = {name: None if value is None else _owned(real_array(value, name, 2), name) for name, value in given.items()}
        bias = None if head_bias is None else _owned(real_array(head_bias, "head_bias", 1), "head_bias")
        notes: dict[str, str] = {}
        if (weight := arrays["head_weight"]) is not None and len(weight) == 1:
            arrays["head_weight"] = np.vstack([np.zeros_like(weight), weight])
            bias = None if bias is None else np.append(np.zeros(1), bias)
            notes["head_weight"] = "one row w of a sigmoid, taken as the rows 0 and w"
        # The teacher's logits are compared with what the head makes of its features.
        logits = {
            "logits_teacher": _logits(logits_teacher, "logits_teacher", weight is not None, notes),
            "logits_student": _logits(logits_student, "logits_student", False, notes),
        }
        floor = check_floor(probability_floor)
        likely = {"teacher": probabilities_teacher, "student": probabilities_student}
        probabilities = {
            side: probability_matrix(value, f"probabilities_{side}") for side, value in likely.items() if value is not None
        }
        for side, rows in probabilities.items():
            if logits[f"logits_{side}"] is not None:
                raise InputError(f"logits_{side} and probabilities_{side} are both given; pass one of them")
            if side == "teacher" and weight is not None:
                raise InputError("probabilities_teacher and head_weight are both given; leave out the probabilities")
            logits[f"logits_{side}"] = Logits(logarithms(rows, floor))
        if not isinstance(inputs_paired, bool | np.bool_):
            raise InputError(f"inputs_paired is {inputs_paired!r}; pass True or False")
        _check_presence({**arrays, **logits}, bias, inputs_paired, labels, labels_student)
        n_teacher, n_student = _check_samples({**arrays, **logits}, inputs_paired)
        weight = arrays["head_weight"]
        if weight is not None and bias is None:
            bias = np.zeros(len(weight))
        one: list[str] = [name for name in ("head_weight", "logits_teacher", "logits_student") if name in notes]
        one += [f"logits_{side}" for side, value in likely.items() if value is not None and _is_column(value)]
        classes = _check_head(arrays, logits, bias, one)
        names = None if class_names is None else check_class_names(class_names)
        if names is not None:
            if classes is not None and len(names) != classes:
                raise InputError(
                    f"class_names has {len(names)} names for {classes} classes; pass one for each column, in order"
                )
            notes["class names"] = ", ".join(map(str, names[:20])) + (f", … ({len(names):,})" if len(names) > 20 else "")
        labels_t = _check_labels(labels, n_teacher, classes, "labels", names, bool(one))
        labels_s = _check_labels(labels_student, n_student, classes, "labels_student", names, bool(one))
        kept_t, labels_t = _kept(labels_t, "labels", notes)
        kept_s, labels_s = (kept_t, None) if inputs_paired else _kept(labels_s, "labels_student", notes)
        for kept, ending in ((kept_t, "teacher"), (kept_s, "student")):
            if kept is not None:
                arrays |= {name: value[kept] for name, value in arrays.items() if name.endswith(ending) and value is not None}
                logits |= {name: _some(value, kept) for name, value in logits.items() if name.endswith(ending)}
        _check_teacher_logits(arrays, logits["logits_teacher"], bias)
        if groups is not None and not inputs_paired:
            raise InputError("groups are of inputs that both networks saw; with inputs_paired=False leave them out")
        if row_numbers is not None and not inputs_paired:
            raise InputError("row_numbers are of inputs that both networks saw; with inputs_paired=False leave them out")
        for side, rows in probabilities.items():
            kept, own = (kept_s, labels_t if inputs_paired else labels_s) if side == "student" else (kept_t, labels_t)
            name = f"probabilities_{side}"
            notes[f"logits_{side}"] = floor_words(rows if kept is None else rows[kept], own, floor, name)
        self.__setstate__(
            {
                **arrays,
                **{f"_{name}": value for name, value in logits.items()},
                "head_bias": bias,
                "labels": labels_t,
                "labels_student": labels_s,
                "groups": _groups(groups, n_teacher, kept_t),
                "class_names": None if names is None else as_texts(names),
                "row_numbers": _row_numbers(row_numbers, n_teacher, kept_t) if inputs_paired else None,
                "inputs_paired": bool(inputs_paired),
                "provenance": notes | {str(key): str(value) for key, value in (provenance or {}).items()},
            }
        )

    def __getstate__(self) -> dict[str, Any]:
        """For copies and pickles, which know no read-only mapping."""
        return {**vars(self), "provenance": dict(self.provenance)}

    def __setstate__(self, state: Mapping[str, Any]) -> None:
        """Hold these values, read-only to the last array: a copy or an unpickled array would be writable."""
        for name, value in state.items():
            if isinstance(value, np.ndarray):
                value.setflags(write=False)
            object.__setattr__(self, name, MappingProxyType(value) if name == "provenance" else value)

    @property
    def stored_logits_teacher(self) -> Logits | None:
        """Logits of the teacher as they are stored; None if they are what the head makes of its features."""
        logits: Logits | None = vars(self)["_logits_teacher"]
        return logits

    @property
    def stored_logits_student(self) -> Logits | None:
        """Logits of the student's own head as they are stored; None if it uses the teacher's head."""
        logits: Logits | None = vars(self)["_logits_student"]
        return logits

    @property
    def n(self) -> int:
        """Number of samples on the teacher's side (on both sides when the inputs are paired)."""
        features, logits = self.features_teacher, self.stored_logits_teacher
        if features is not None:
            return len(features)
        assert logits is not None
        return len(logits)

    @property
    def classes(self) -> int | None:
        """Number of classes K, if a head or logits tell."""
        sizes = (
            None if self.head_weight is None else self.head_weight.shape[0],
            None if self.stored_logits_teacher is None else self.stored_logits_teacher.shape[1],
        )
        return next((size for size in sizes if size is not None), None)

    @property
    def shared_head(self) -> Float64 | None:
        """Weight of the teacher's head (K × d) if it fits the features of both networks, else None."""
        weight, student = self.head_weight, self.features_student
        return weight if weight is not None and student is not None and student.shape[1] == weight.shape[1] else None

    def apply_head(self, features: Float64 | None) -> Float64 | None:
        """Logits that the teacher's head makes of n × d features, in float64; None where it does not fit them."""
        if features is None or self.head_weight is None or features.shape[1] != self.head_weight.shape[1]:
            return None
        assert self.head_bias is not None
        logits: Float64 = features @ self.head_weight.T
        logits += self.head_bias
        return logits

    def taken(self, teacher: Int64, student: Int64) -> "Pair":
        """The pair of these rows of each side, in this order; the same rows where the inputs are the same."""
        state = self.__getstate__()
        for name, value in state.items():
            rows = student if name.removeprefix("_") in STUDENT else teacher
            if isinstance(value, Logits):
                state[name] = value.taken(rows)
            elif value is not None and name in ROWS:
                state[name] = value[rows]
        if state["groups"] is not None:
            state["groups"] = in_order_of_appearance(state["groups"])
        if state["row_numbers"] is None and self.inputs_paired:
            state["row_numbers"] = teacher.astype(np.int64)
        made = object.__new__(Pair)
        made.__setstate__(state)
        return made

    def __repr__(self) -> str:
        def shape(array: Any) -> str:
            return "none" if array is None else "×".join(map(str, array.shape))

        return (
            f"Pair(n={self.n}, classes={self.classes}, features_teacher={shape(self.features_teacher)}, "
            f"features_student={shape(self.features_student)}, labels={'none' if self.labels is None else 'given'}, "
            f"head={shape(self.head_weight)}, inputs_paired={self.inputs_paired}"
            + (")" if self.groups is None else f", groups={self.groups.max() + 1})")
        )

    @classmethod
    def from_models(
        cls,
        teacher: "nn.Module",
        student: "nn.Module",
        loader: Any,
        teacher_head: str | None = "auto",
        student_head: str | None = "auto",
        device: str = "auto",
        *,
        unpack: Callable[[Any], Any] | None = None,
        logits: "Where | tuple[Where | None, Where | None] | None" = None,
        teacher_features: "Place | None" = None,
        student_features: "Place | None" = None,
        progress: bool = True,
    ) -> "Pair":
        """Run both networks over a loader and keep what enters and leaves their heads.

        The networks run in evaluation mode, without gradients, on one device, and are left as they were found: modes, devices,
        hooks, buffers, and attributes that `forward` sets. So is torch's random state. A network inside `DataParallel`,
        `DistributedDataParallel` or `torch.compile` is taken out and runs by itself. Half precision is kept exactly, as
        float32: the pair is about the numbers that the networks put out.

        Args:
            teacher: any module that puts out a batch of logits.
            student: likewise.
            loader: iterable of batches: (inputs, labels); inputs alone; or mappings, which go in as keywords without their
                "labels" or "label". Sized iterables get a progress bar that knows the end.
            teacher_head: dotted name of the layer that makes the logits; "auto" finds the last `nn.Linear` (or adapter around
                one, or cosine or quantised layer) whose output is the logits, and says which; None for logits only.
            student_head: likewise for the student.
            device: "auto" (CUDA if there is one), or a torch device name.
            unpack: turns one batch of the loader into (inputs, labels) or (teacher inputs, student inputs, labels). Inputs are
                a tensor, a tuple (positional arguments) or a mapping (keywords); labels may be None.
            logits: where in an output the logits are: a name, an index, or a function of the output; or a pair of those,
                (teacher's, student's). If None, the output itself, its `.logits` or "logits", or its only entry.
            teacher_features: the module whose output the features are, by dotted name; "name:input" for its input; or (name,
                function) with a function that makes batch × features of it. What enters the head if None. Where the features
                are not what enters the head, the pair has no head_weight.
            student_features: likewise for the student, as a projector into the teacher's space; the teacher's head is kept.
            progress: show a progress bar, and which heads were found, on the terminal (standard error).

        A head that is not linear keeps the features at its input, and the pair has no head_weight: `audit` needs its Lipschitz
        constant, `head_lipschitz`, and that both networks use this very head. The provenance says whether they do. A network
        whose head is not found is named in a `UserWarning`, and the pair then has logits only. So are inputs that a
        `forward` takes by keyword without naming them, labels that may stand under another name, and a network whose logits
        differ when the first batch is given to it twice.

        Raises:
            InputError: a loader that is not an iterable of batches, no such module, inputs that a network cannot be called
                with, no logits where they were looked for, or probabilities in their place, a head that the forward pass does
                not use exactly once, logits that are not what it makes, numbers of rows that disagree, an empty loader, or
                whatever `Pair` refuses.
        """
        from kd2m_theory.extraction import extract

        return cls(
            **extract(
                teacher,
                student,
                loader,
                heads=(teacher_head, student_head),
                features=(teacher_features, student_features),
                logits=logits,
                device=device,
                unpack=unpack,
                progress=progress,
            )
        )

    @classmethod
    def from_tokens(
        cls,
        logits_teacher: Any,
        logits_student: Any,
        labels: Any = None,
        *,
        mask: Any = None,
        provenance: Mapping[str, str] | None = None,
    ) -> "Pair":
        """The pair of two networks that predict a class at every position: of the tokens of texts, of the pixels of images.

        Positions are rows, and those of one sequence are a group (see `groups`): they are not independent of each other.
        A language model's logits at position t predict token t + 1; shift logits or labels before.
        Reports name position t of sequence i by the number i·T + t (see `row_numbers`).

        Args:
            logits_teacher: n sequences × T positions × K classes; K may be the last of more axes (n × H × W × K).
                Networks that put out n × K × H × W need `np.moveaxis(x, 1, -1)` before; without labels the axes do not show it.
            logits_student: of the same shape.
            labels: n × T classes in 0..K−1; positions with −100 are left out. None for unlabelled sequences.
            mask: n × T, true or 1 at the positions that count, as an attention mask has it; all if None.
            provenance: as `Pair` takes it.

        Raises:
            InputError: shapes that disagree, fewer than two sequences with a position that counts, or whatever `Pair` refuses.

        Example:
            >>> import numpy as np
            >>> rng = np.random.default_rng(0)
            >>> logits = rng.normal(size=(2, 3, 5, 4))  # two networks, three texts of at most five tokens, four words
            >>> pair = Pair.from_tokens(*logits, mask=[[1, 1, 1, 1, 1], [1, 1, 0, 0, 0], [1, 1, 1, 0, 0]])
            >>> pair.n, pair.groups.tolist()
            (10, [0, 0, 0, 0, 0, 1, 1, 2, 2, 2])
        """
        return cls(**flattened(logits_teacher, logits_student, labels, mask), provenance=provenance)

    @classmethod
    def from_predictions(
        cls,
        teacher: Any,
        student: Any,
        y: Any = None,
        *,
        class_names: Sequence[Hashable] | None = None,
        class_names_student: Sequence[Hashable] | None = None,
        kind: Literal["probabilities", "logits"] | None = None,
        other_classes: Literal["refuse", "drop"] = "refuse",
        probability_floor: float = FLOOR,
        provenance: Mapping[str, str] | None = None,
        groups: Any = None,
    ) -> "Pair":
        """The pair of what two models predict for the same inputs, row by row.

        Args:
            teacher: n × K probabilities or logits, or one column of a binary classifier: an array, or a table with one
                column per class (pandas, polars, Arrow, or anything that exports `__arrow_c_stream__` or `__dataframe__`).
            student: likewise. Where both have names, its columns are put into the teacher's order.
            y: n true classes, as `labels` of `Pair`; among the names of the columns where these are not 0 … K − 1.
            class_names: names of the columns of an array (of a scikit-learn model: `classes_`), or the order of a table's.
            class_names_student: of the student's columns, where they are others.
            kind: what the numbers are. None recognises probabilities: rows ≥ 0 that sum to 1, or one column in [0, 1].
            other_classes: what to do if the classes differ. "drop" keeps those that both have: predictions are given that the
                class is one of them, and rows of other classes are left out; the provenance says how much that was.
            probability_floor: as of `Pair`.
            provenance: likewise.
            groups: likewise; of the rows of the tables.

        Raises:
            InputError: classes that differ, rows whose index has another order, names that fit no column, or whatever `Pair`
                refuses.

        Example:
            >>> from kd2m_theory import Pair
            >>> forest, regression = [[0.9, 0.1], [0.0, 1.0]], [[0.3, 0.7], [0.2, 0.8]]
            >>> pair = Pair.from_predictions(forest, regression, ["no", "yes"], class_names=["no", "yes"])
            >>> pair.n, pair.classes, pair.labels.tolist()
            (2, 2, [0, 1])
        """
        from kd2m_theory.tables import matched

        arguments = matched(
            teacher,
            student,
            y,
            class_names=class_names,
            class_names_student=class_names_student,
            kind=kind,
            other_classes=other_classes,
        )
        words = {**arguments.pop("provenance"), **(provenance or {})}
        return cls(**arguments, probability_floor=probability_floor, provenance=words, groups=groups)

    def save(self, path: str | Path, *, shard_rows: int | None = None, shard_bytes: int | None = None) -> None:
        """Write the pair: the arrays, the format version and the provenance; atomically.

        A .safetensors and an .npz hold any pair. A .parquet holds the logits and labels of one whose inputs are paired, as the
        columns `teacher_<class>`, `student_<class>` and `label`.

        With one of the two sizes the pair is cut into shards, which are named as those of Hugging Face's models are:
        `pair-00001-of-00004.safetensors`, …, and `pair.safetensors.index.json`, which is written last. The first has the head.

        Args:
            path: ends in .safetensors, .npz or .parquet.
            shard_rows: rows of each shard but the last; of each network where the inputs are not paired.
            shard_bytes: instead, bytes that the rows of a shard may have; a row that has more is a shard by itself.

        Raises:
            InputError: another ending, nothing can be written there, a size that is not positive, both sizes, a pair of
                that name is there in another number of files, or a pair with features, groups or other inputs as .parquet.
            MissingDependencyError: a .parquet, and pyarrow is not installed.
        """
        path = check_writable(path)
        whole = {
            "inputs_paired": self.inputs_paired,
            "class_names": self.class_names,
            "head_weight": self.head_weight,
            "head_bias": self.head_bias,
            "provenance": {"kd2m_theory": __version__, **self.provenance},
        }
        rows = {name: getattr(self, name) for name in ROWS if not name.startswith("logits")}
        logits = {"logits_teacher": self.stored_logits_teacher, "logits_student": self.stored_logits_student}
        rows |= {name: None if value is None else value.array() for name, value in logits.items()}
        write_pair(path, Contents(name=path.name, rows=_given(rows), whole=_given(whole)), shard_rows, shard_bytes)

    @classmethod
    def load(cls, path: str | Path) -> "Pair":
        """Read a pair from .safetensors, or from an .npz with arrays of the same names. Nothing is ever unpickled.

        An .npz may also have `probabilities_teacher`, `probabilities_student` and `class_names`. A .csv or .parquet has
        predictions alone: the columns `teacher_<class>` and `student_<class>`, probabilities or logits, and `label`.

        A pair may be cut into shards, which hold its rows in order and agree in everything else. The head may be in some of
        them. Groups are numbered across all shards, labels −100 leave out rows as in one file, and what is left has the row
        numbers that it has in all shards together.

        Args:
            path: a file; of a pair in shards, any of them, as `pair-00001-of-00004.npz`, the name without numbers, `pair.npz`,
                the index, or the folder, if no other pair's shards are in it; or a pattern, as `"preds-*.parquet"`, for files
                of any names, taken in their order, in which part-2 is before part-10.

        Raises:
            PairFileError: missing, truncated, foreign, or of an unknown format version; shards that are not all there, or do
                not agree. The message names the file.
            InputError: the arrays do not make a pair.
            MissingDependencyError: a .parquet, and pyarrow is not installed.
        """
        return cls(**read_pair(Path(path)))


def check_pair(pair: object, name: str = "pair") -> Pair:
    """The pair that a function was given.

    Args:
        pair: what was given.
        name: of the argument, or of what it stands for.

    Raises:
        InputError: it is something else, such as the path of a file.
    """
    if not isinstance(pair, Pair):
        raise InputError(f"{name} is a {type(pair).__name__}; pass a Pair, such as Pair.load(path) of a file")
    return pair


def _given(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}


def _groups(groups: Any, n: int, kept: Int64 | None) -> Int64 | None:
    """Numbers of the groups of the rows that are kept."""
    if groups is None:
        return None
    numbers = group_numbers(groups, n, "groups")
    return numbers if kept is None else group_numbers(numbers[kept], len(kept), "groups")


def _row_numbers(given: Any, n: int, kept: Int64 | None) -> Int64 | None:
    """Numbers by which the user knows the rows that are kept; None where they are 0, 1, … in order."""
    if given is None:
        return kept
    numbers = to_numpy(given, "row_numbers")
    if numbers.dtype.kind not in "iu" or numbers.shape != (n,):
        raise InputError(
            f"row_numbers has dtype {numbers.dtype} and shape {numbers.shape}; give each of the {n:,} rows a whole number"
        )
    if numbers.min() < 0 or int(numbers.max()) >= 2**63 or len(np.unique(numbers)) < n:
        raise InputError("row_numbers has a number below 0, beyond 2^63 or twice; give each row a number of its own, from 0")
    found = numbers.astype(np.int64)
    found = found if kept is None else found[kept]
    return None if np.array_equal(found, np.arange(len(found))) else found


def _check_presence(
    given: Mapping[str, Float64 | Logits | None], bias: Float64 | None, paired: bool, labels: Any, labels_student: Any
) -> None:
    has = {name for name, value in given.items() if value is not None}
    if len(has & {"features_teacher", "features_student"}) == 1:
        raise InputError("features of one network only; pass both features_teacher and features_student, or neither")
    if "features_teacher" not in has and not {"logits_teacher", "logits_student"} <= has:
        raise InputError("a pair needs the features of both networks, or the logits of both networks")
    if "logits_student" in has and not has & {"logits_teacher", "head_weight"}:
        raise InputError("logits_student without teacher logits; pass logits_teacher, or head_weight to compute them")
    if "logits_student" not in has and "logits_teacher" in has and "head_weight" not in has:
        raise InputError("logits_teacher without student logits; pass logits_student, or the head_weight both share")
    if bias is not None and "head_weight" not in has:
        raise InputError("head_bias without head_weight; pass both")
    if "head_weight" in has and "features_teacher" not in has:
        raise InputError("head_weight without features; pass the features that enter it")
    if paired and labels_student is not None:
        raise InputError("labels_student is for inputs_paired=False; with paired inputs one set of labels serves both")
    if not paired and (labels is None) != (labels_student is None):
        raise InputError("with inputs_paired=False give both labels and labels_student, or neither")


def _check_samples(arrays: Mapping[str, Float64 | Logits | None], paired: bool) -> tuple[int, int]:
    sizes: dict[str, dict[str, int]] = {"teacher": {}, "student": {}}
    for name, value in arrays.items():
        side = name.rsplit("_", 1)[-1]
        if value is not None and side in sizes:
            sizes[side][name] = len(value)
    everything = {**sizes["teacher"], **sizes["student"]}
    for group in [everything] if paired else list(sizes.values()):
        if len(set(group.values())) > 1:
            listed = ", ".join(f"{name} {size}" for name, size in group.items())
            raise InputError(f"numbers of samples disagree: {listed}; every array needs one row per sample")
    for name, size in everything.items():
        if size < 2:
            raise InputError(f"{name} has {size} sample{'' if size == 1 else 's'}; a pair needs at least two")
        value = arrays[name]
        if value is not None and value.shape[1] == 0:
            raise InputError(f"{name} has no columns (shape {value.shape})")
    return next(iter(sizes["teacher"].values())), next(iter(sizes["student"].values()))


def _is_column(value: Any) -> bool:
    shape = np.shape(value)
    return len(shape) == 1 or shape[1:] == (1,)


def _check_head(
    arrays: Mapping[str, Float64 | None], logits: Mapping[str, Logits | None], bias: Float64 | None, one: Sequence[str]
) -> int | None:
    weight, features = arrays["head_weight"], arrays["features_teacher"]
    sizes = {name: value.shape[1] for name, value in logits.items() if value is not None}
    if weight is not None:
        sizes = {"head_weight": len(weight), **sizes}
        assert features is not None
        assert bias is not None
        if weight.shape[1] != features.shape[1]:
            raise InputError(
                f"head_weight is {weight.shape[0]}×{weight.shape[1]} (classes × features) but features_teacher have "
                f"dimension {features.shape[1]}; pass the weight as nn.Linear stores it"
            )
        if len(bias) != len(weight):
            raise InputError(f"head_bias has {len(bias)} entries for {len(weight)} classes of head_weight")
    if len(set(sizes.values())) > 1:
        listed = ", ".join(
            f"{name} {size}" + (" (one output, taken as the logit of class 1 against class 0)" if name in one else "")
            for name, size in sizes.items()
        )
        raise InputError(f"numbers of classes disagree: {listed}")
    classes = next(iter(sizes.values()), None)
    if classes is not None and classes < 2:
        raise InputError(f"there is {classes} class; cross-entropy needs at least two logits")
    return classes


def _check_labels(
    labels: Any, n: int, classes: int | None, name: str, names: tuple[Hashable, ...] | None, single: bool
) -> Int64 | None:
    if labels is None:
        return None
    result = encoded_labels(labels, n, name, names)
    check_range(result, len(names) if classes is None and names is not None else classes, name, single)
    return result


def _kept(labels: Int64 | None, name: str, notes: dict[str, str]) -> tuple[Int64 | None, Int64 | None]:
    """The rows whose labels do not say that they are to be left out, and their labels; None for all rows."""
    if labels is None or not (labels == IGNORED).any():
        return None, labels
    kept = np.flatnonzero(labels != IGNORED)
    left_out = f"{len(labels) - len(kept):,} of {len(labels):,} rows, whose label was −100, are left out"
    if len(kept) < 2:
        raise InputError(
            f"{name} marks {left_out.replace('are left out', 'as left out')}; a pair needs at least two rows with a class"
        )
    notes[f"rows left out by {name}"] = left_out
    return kept, labels[kept]


def _check_teacher_logits(arrays: Mapping[str, Float64 | None], logits: Logits | None, bias: Float64 | None) -> None:
    weight, features = arrays["head_weight"], arrays["features_teacher"]
    if weight is None or features is None or bias is None:
        return
    largest, off, scale = np.zeros(len(features)), np.zeros(len(features)), np.ones(len(features))
    for rows, classes in _blocks(len(features), len(weight)):
        replayed = features[rows] @ weight[classes].T + bias[classes]
        np.maximum(largest[rows], np.abs(replayed).max(axis=1), out=largest[rows])
        if logits is not None:
            # The terms that were summed, not their sum, say how large a rounding may be.
            terms = np.abs(features[rows]) @ np.abs(weight[classes]).T + np.abs(bias[classes])
            np.maximum(scale[rows], terms.max(axis=1), out=scale[rows])
            np.maximum(off[rows], np.abs(replayed - logits[rows, classes]).max(axis=1), out=off[rows])
    if largest.max() > _LARGEST:
        raise InputError(f"the head makes logits up to {largest.max():.3g}, beyond {_LARGEST:g}; rescale it")
    off /= scale
    if off.max() > _HEAD_TOLERANCE:
        row = int(off.argmax())
        raise InputError(
            f"logits_teacher are not what the head makes of features_teacher: they differ by {off[row] * scale[row]:.3g} in "
            f"row {row}; pass the features that enter this head, and logits without softmax or scaling"
        )


def _blocks(n: int, classes: int) -> Iterator[tuple[slice, slice]]:
    """Blocks of n × K numbers, across the longer side: of rows, or of classes."""
    if n >= classes:
        yield from ((rows, slice(None)) for rows in row_blocks(n, classes))
    else:
        yield from ((slice(None), part) for part in column_blocks(n, classes))


def _logits(value: Any, name: str, verified: bool, notes: dict[str, str]) -> Logits | None:
    if value is None:
        return None
    logits, words = logits_matrix(value, name, verified)
    if words:
        notes[name] = words
    refuse_too_large(logits, name)
    return Logits(logits if in_file(logits) else logits.copy())


def _owned(value: Float64, name: str) -> Float64:
    """The pair's own copy."""
    array = np.array(value)
    refuse_too_large(array, name)
    return array


def _some(logits: Logits | None, rows: Int64) -> Logits | None:
    if logits is None:
        return None
    return logits.taken(rows) if in_file(logits.stored) else Logits(logits.stored[rows])


def refuse_too_large(array: Stored, name: str) -> None:
    """Refuse numbers whose squares and products leave float64.

    Raises:
        InputError: the largest of them.
    """
    if array.size and (largest := max(float(array.max()), -float(array.min()))) > _LARGEST:
        raise InputError(f"{name} has values up to {largest:.3g}, beyond {_LARGEST:g}; rescale the features")
