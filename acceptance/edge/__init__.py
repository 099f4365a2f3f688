"""The firewall's policy, as Terraform states it, before the real service."""

import sys
from pathlib import Path

# What reads Terraform's files lies beside them, and is no package.
sys.path.append(str(Path(__file__).parents[2] / "infra/terraform/scripts"))
