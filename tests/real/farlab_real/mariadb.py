"""A MariaDB of the tests' own: in a folder, reached by a socket in it, at no port.

Only the server itself is needed (Debian's mariadb-server-core), which installs no service.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

TABLES = Path("/usr/share/mysql")
SCRIPTS = ("mysql_system_tables", "mysql_performance_tables", "mysql_system_tables_data")
SMALL = ("--innodb-log-file-size=8M", "--innodb-buffer-pool-size=64M")


def socket_path(folder: Path) -> Path:
    """Return where the server listens."""
    return folder / "mariadb.sock"


def prepare(folder: Path, program: str = "mariadbd") -> None:
    """Make an empty server in the folder; only this account may enter it."""
    data = folder / "data"
    data.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o700)
    begin = "CREATE DATABASE mysql;\nUSE mysql;\nSET @auth_root_socket=NULL;\n"
    begin += "SET @skip_auth_anonymous=1;\n"
    tables = "".join((TABLES / f"{name}.sql").read_text() for name in SCRIPTS)
    argv = [program, "--no-defaults", "--bootstrap", "--user=root", f"--datadir={data}", *SMALL]
    subprocess.run(argv, input=begin + tables, text=True, check=True, capture_output=True)


def argv(folder: Path, program: str = "mariadbd") -> list[str]:
    """Return the command that runs the server; whoever reaches its socket may do everything."""
    return [
        program,
        "--no-defaults",
        "--user=root",
        f"--datadir={folder / 'data'}",
        f"--socket={socket_path(folder)}",
        f"--pid-file={folder / 'mariadb.pid'}",
        "--skip-networking",
        "--skip-grant-tables",
        "--skip-log-bin",
        "--performance-schema=OFF",
        "--innodb-flush-log-at-trx-commit=0",
        "--innodb-doublewrite=0",
        "--innodb-lock-wait-timeout=900",
        *SMALL,
    ]
