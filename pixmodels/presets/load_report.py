import dataclasses
import warnings


@dataclasses.dataclass(frozen=True)
class LoadReport:
    """What became of the weights in a file.

    Attributes:
        source: the file or folder.
        loaded: number of the model's variables that were set.
        missing: variables of the model that the file lacks, each "our path
            (their name)".
        unexpected: names in the file that the model has no place for.
        misshapen: "name: shape in the file, expected shape".
        not_finite: names of arrays with NaN or infinity.
        ignored: names that the format is known to carry without use.
    """

    source: str
    loaded: int = 0
    missing: tuple[str, ...] = ()
    unexpected: tuple[str, ...] = ()
    misshapen: tuple[str, ...] = ()
    not_finite: tuple[str, ...] = ()
    ignored: tuple[str, ...] = ()

    @property
    def complete(self):
        """True if every weight found its place and is a finite number."""
        return not (
            self.missing or self.unexpected or self.misshapen or self.not_finite
        )

    def __str__(self):
        lines = []
        for kind in ("missing", "unexpected", "misshapen", "not_finite"):
            names = getattr(self, kind)
            if names:
                title = kind.replace("_", " ")
                lines.append(f"  {title} ({len(names)}):")
                lines += [f"    {name}" for name in names]
        head = f"{self.loaded} weights loaded from {self.source}"
        return "\n".join([head, *lines])

    def check(self, strict=True):
        """Raises or warns about all problems at once.

        Args:
            strict: raise; else only NaN and infinity raise, and the rest is a
                UserWarning.

        Raises:
            ValueError: with the whole report.
        """
        if self.complete:
            return
        if strict or self.not_finite:
            way = (
                " Pass strict=False to load what fits."
                if not self.not_finite
                else ""
            )
            raise ValueError(
                "Expected weights for this architecture, all of them finite."
                f"{way} Received: {self}"
            )
        warnings.warn(str(self), stacklevel=3)
