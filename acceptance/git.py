"""Git as a person uses it here, by name."""

from pathlib import Path

from acceptance.calling import quietly

WHO = ("-c", "user.name=Ada", "-c", "user.email=ada@example.com")


class GitError(Exception):
    """Git's own words."""


def git(folder: Path, *arguments: str) -> str:
    """What git says in a folder.

    Raises:
        GitError: if it does not do what it is asked.
    """
    done = quietly("git", *WHO, "-C", folder, *arguments)
    if done.returncode != 0:
        raise GitError(f"git {' '.join(arguments)}: {done.stderr}")
    return done.stdout.strip()


def begin(folder: Path, message: str) -> str:
    """Makes a folder a repository with all that is in it; returns its commit of main."""
    git(folder, "init", "--quiet", "--initial-branch", "main")
    return commit(folder, message)


def commit(folder: Path, message: str) -> str:
    """Commits whatever is new there or changed; returns the commit."""
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "-m", message)
    return git(folder, "rev-parse", "HEAD")


def publish(source: Path, remote: Path, clone: Path) -> None:
    """Makes a bare remote of the last commit of `source`, called main, and a clone of that."""
    git(source, "clone", "--quiet", "--bare", ".", str(remote))
    git(remote, "update-ref", "refs/heads/main", "HEAD")
    git(remote, "symbolic-ref", "HEAD", "refs/heads/main")
    git(remote, "clone", "--quiet", ".", str(clone))
