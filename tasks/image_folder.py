import hashlib
import pathlib

from pixmodels.tasks.images import load_image

_SUFFIXES = (
    *(".png", ".jpg", ".jpeg", ".webp", ".gif", ".bmp", ".tif", ".tiff"),
)


class ImageFolder:
    """Image files of a folder, decoded when asked for: random access.

    With folders inside, each is a class, in the order of their names; images
    that stand in none are refused then. Pickles as names.

    Item: dict of `image` uint8 (H, W, 3), or (H, W) for mode "L", of the
    file's own size, and `label` int, 0 without classes.

    Args:
        path: folder with images, or with a folder of images for each class.
        mode: "RGB" or "L", see `load_image`.

    Attributes:
        files: list of `pathlib.Path`, by name.
        labels: tuple of the names of the classes, empty without.
        label_ids: list of int, the class of each image.

    Raises:
        FileNotFoundError: if there is no such folder, or no image in it.
        ValueError: for images both beside and in folders; a file that cannot
            be decoded is named when it is read.
    """

    def __init__(self, path, *, mode="RGB"):
        path = pathlib.Path(path).expanduser()
        self.path, self.mode = path, mode
        files = sorted(
            file
            for file in (path.rglob("*") if path.is_dir() else ())
            if file.suffix.lower() in _SUFFIXES and file.is_file()
        )
        if not files:
            raise FileNotFoundError(
                f"Expected a folder with images ({', '.join(_SUFFIXES)}). "
                f"Received: path={str(path)!r}"
            )
        folders = [file.relative_to(path).parts[:-1] for file in files]
        loose = [file for file, inside in zip(files, folders) if not inside]
        if loose and len(loose) < len(files):
            raise ValueError(
                "Expected images in the folder, or in a folder for each "
                f"class. Received: path={str(path)!r} with both, such as "
                f"{loose[0].name}"
            )
        self.files = files
        classes = [inside[0] for inside in folders if inside]
        self.labels = tuple(sorted(set(classes)))
        number = {name: i for i, name in enumerate(self.labels)}
        self.label_ids = [number[name] for name in classes] or [0] * len(files)

    def fingerprint(self):
        """str that is another one when the files may be others."""
        digest = hashlib.sha256(self.mode.encode())
        for file in self.files:
            about = file.stat()
            line = f"\n{file.absolute()} {about.st_size} {about.st_mtime_ns}"
            digest.update(line.encode("utf-8", "surrogateescape"))
        return digest.hexdigest()

    def __len__(self):
        return len(self.files)

    def __getitem__(self, index):
        image = load_image(self.files[index], mode=self.mode)
        return {"image": image, "label": self.label_ids[index]}

    def __repr__(self):
        return (
            f"ImageFolder({str(self.path)!r}, {len(self):,} images, "
            f"{len(self.labels)} classes)"
        )
