"""Dataset: the rows of a dataset, for other programs."""

from pathlib import Path
from typing import Any

from ddmlp.data.dataset import Dataset as MappedDataset
from ddmlp.errors import require_extra
from ddmlp.files import as_path


class Dataset:
    """A dataset on disk, for other programs. `len(dataset)` is the number of its rows.

    Parameters
    ----------
    path : str or Path
        The folder of the dataset, as `ddmlp convert` and `DatasetWriter` write it: for example data/train, or
        runs/one/data/train.

    Attributes
    ----------
    path : Path
        The folder, absolute.
    image_shape : (int, int)
        The (height, width) of the images.
    classes : int
        The number of classes.
    class_names : tuple of str, or None
        Their names, if the dataset has them.
    sha256 : str
        The fingerprint of its files, in hexadecimal; a run records it as `dataset_sha256`.

    Raises
    ------
    DatasetError
        The dataset does not exist, or is damaged.

    Examples
    --------
    >>> import numpy as np
    >>> import ddmlp
    >>> with ddmlp.DatasetWriter("digits", image_shape=(28, 28), classes=10) as writer:
    ...     writer.append(np.zeros((5, 28, 28), np.uint8), np.arange(5, dtype=np.uint8))
    >>> dataset = ddmlp.Dataset("digits")
    >>> len(dataset), dataset.image_shape, dataset.classes
    (5, (28, 28), 10)
    """

    def __init__(self, path: str | Path) -> None:
        self.path = as_path(path, "path", "the path of a folder").absolute()
        self._rows = MappedDataset(self.path)
        manifest = self._rows.manifest
        self.image_shape, self.classes, self.class_names = manifest.image_shape, manifest.classes, manifest.class_names
        self.sha256 = manifest.sha256()

    def __len__(self) -> int:
        return len(self._rows)

    def __repr__(self) -> str:
        height, width = self.image_shape
        return f"Dataset({str(self.path)!r}): {len(self):,} images of {height} x {width} pixels, {self.classes} classes"

    def to_arrow(self) -> Any:
        """Return the rows as a pyarrow Table.

        Returns
        -------
        pyarrow.Table
            The columns `pixels`, a fixed-shape tensor of uint8 (height, width), and `label`, uint8. They are views of
            the files, mapped into memory: nothing is copied, and the dataset may be larger than the memory.

        Examples
        --------
        >>> import numpy as np
        >>> import ddmlp
        >>> with ddmlp.DatasetWriter("digits", image_shape=(28, 28), classes=10) as writer:
        ...     writer.append(np.zeros((5, 28, 28), np.uint8), np.arange(5, dtype=np.uint8))
        >>> table = ddmlp.Dataset("digits").to_arrow()
        >>> table.column_names, table["label"].to_pylist()
        (['pixels', 'label'], [0, 1, 2, 3, 4])
        >>> table["pixels"].combine_chunks().to_numpy_ndarray().shape
        (5, 28, 28)
        """
        from ddmlp.data.table import table_of

        return table_of(self._rows)

    def to_ray(self) -> Any:
        """Return the rows as a dataset of Ray Data, which reads the shards when they are needed.

        The nodes of the cluster need ddmlp, and the folder at the same path. Each shard is compared with its hash.

        Returns
        -------
        ray.data.Dataset
            The columns `pixels`, tensors of uint8 (height, width), and `label`, uint8.

        Raises
        ------
        ConfigError
            Ray Data is not installed: it is the extra `raydata`.

        Examples
        --------
        >>> import ddmlp
        >>> dataset = ddmlp.Dataset("data/train").to_ray()  # doctest: +SKIP
        >>> dataset.count(), dataset.filter(lambda row: row["label"] == 7).count()  # doctest: +SKIP
        (60000, 6265)
        """
        with require_extra("raydata", "Dataset.to_ray"):
            from ddmlp.ray_backend.datasource import read
        return read(self.path, self._rows.manifest)
