"""What a rehearsal.yaml must still say before its manifests can be run, all at once."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping

from canary.argo import manifests
from canary.argo.manifests import Bundle
from canary.argo.objects import Container, Volume
from canary.errors import UsageError
from canary.rehearse import scraping
from canary.rehearse.config import Config, Replacement

# What `canary init` writes where it cannot guess.
UNKNOWN = "CHANGE-ME"
_PORT = re.compile(r"\{port(?:\.([\w-]+))?\}")


def check(bundle: Bundle, config: Config, file: object) -> None:
    """Refuses a file that says too little.

    Raises:
        UsageError: with everything that is missing, by the name that it goes under; or if no pod
            has a port that is scraped, so that every gate would wait for data that never comes.
    """
    if wrong := list(refusals(bundle, config, file)):
        raise UsageError(manifests.listing(wrong))


def refusals(
    bundle: Bundle, config: Config, file: object, others: Iterable[str] = ()
) -> Iterator[str]:
    """The same as lines; `others` are missing too."""
    scraped, declared = scraping.ports(bundle), _declared(bundle)
    if scraped and not scraped & declared and not any(port.isdigit() for port in scraped):
        yield (
            f"{bundle.source}: no container has the port {' or '.join(sorted(scraped))} that its"
            f" monitor scrapes; there are {', '.join(sorted(declared)) or 'none'} — name one of"
            " them in the monitor"
        )
    # The same Secret may be referenced twice.
    missing = dict.fromkeys([*_images(bundle, config), *_references(bundle, config), *others])
    if missing:
        yield (
            f"{file} and {bundle.source} leave open: {'; '.join(missing)} —"
            " docs/reference/configuration.md explains each field"
        )


def image_name(reference: str) -> str:
    """An image without registry, tag and digest."""
    return reference.rpartition("/")[2].partition("@")[0].partition(":")[0]


def ports(bundle: Bundle, config: Config) -> set[str]:
    """The names of the ports that the file lets a pod be told."""
    served = bundle.served_port
    texts = [*config.variables.values()]
    for container in bundle.rollout.spec.template.spec.containers:
        given = config.images.get(image_name(container.image), [])
        texts += given.run if isinstance(given, Replacement) else given
    named = {found[1] or served for text in texts for found in _PORT.finditer(text)}
    return named | config.listen.variables(served).keys()


def _declared(bundle: Bundle) -> set[str]:
    containers = bundle.rollout.spec.template.spec.containers
    return {port for container in containers for port in container.port_names}


def _images(bundle: Bundle, config: Config) -> Iterator[str]:
    """Containers without a command, and ports that nobody is told."""
    spec = bundle.rollout.spec.template.spec
    wanted = {bundle.served_port}
    for container in spec.containers:
        name = image_name(container.image)
        if name not in config.images or UNKNOWN in str(config.images[name]):
            yield f"images.{name}: the command of image {container.image!r} ([] runs none)"
        if config.images.get(name):
            wanted |= container.probed_ports
    wanted |= scraping.ports(bundle) & _declared(bundle)
    for port in sorted(wanted - ports(bundle, config)):
        yield (
            f"listen.ports.{port}: the variable that sets port {port!r}, "
            f"or {{port.{port}}} in a command or a variable"
        )


def _references(bundle: Bundle, config: Config) -> Iterator[str]:
    """Secrets without a fake, and ConfigMaps that are not among the manifests."""
    stores = config.secrets, {name: found.data for name, found in bundle.config_maps.items()}
    spec = bundle.rollout.spec.template.spec
    for volume in spec.volumes:
        yield from _volume(volume, *stores)
    for container in spec.containers:
        if config.images.get(image_name(container.image)):
            yield from _environment(container, *stores)


def _volume(volume: Volume, secrets: _Store, config_maps: _Store) -> Iterator[str]:
    for held in volume.secrets:
        if not held.optional:
            yield from _secret(secrets, held.name, [item.key for item in held.items])
    for held in volume.config_maps:
        if not held.optional:
            yield from _config_map(config_maps, held.name, [item.key for item in held.items])


def _environment(container: Container, secrets: _Store, config_maps: _Store) -> Iterator[str]:
    for whole in container.env_from:
        if whole.secret_ref and not whole.secret_ref.optional:
            yield from _secret(secrets, whole.secret_ref.name)
        if whole.config_map_ref and not whole.config_map_ref.optional:
            yield from _config_map(config_maps, whole.config_map_ref.name)
    for variable in container.env:
        source = variable.value_from
        if source and source.secret_key_ref and not source.secret_key_ref.optional:
            yield from _secret(secrets, source.secret_key_ref.name, [source.secret_key_ref.key])
        if source and source.config_map_key_ref and not source.config_map_key_ref.optional:
            reference = source.config_map_key_ref
            yield from _config_map(config_maps, reference.name, [reference.key])


_Store = Mapping[str, Mapping[str, str]]


def _secret(secrets: _Store, name: str, keys: Collection[str] = ()) -> Iterator[str]:
    if name not in secrets:
        named = f" (keys {', '.join(keys)})" if keys else ""
        yield f"secrets.{name}: a fake of Secret {name!r}{named}"
        return
    yield from (f"secrets.{name}.{key}: its value" for key in keys if key not in secrets[name])


def _config_map(config_maps: _Store, name: str, keys: Collection[str] = ()) -> Iterator[str]:
    if name not in config_maps:
        yield f"ConfigMap {name!r}: add it to the manifests, or name it with `also`"
    else:
        yield from (
            f"ConfigMap {name!r} has no key {key!r}: add it to the manifests"
            for key in keys
            if key not in config_maps[name]
        )
