#!/usr/bin/env bash
# Installs SLURM and munge from Debian's archive if they are absent; says why not and exits with 77 where that cannot be.
set -euo pipefail
command -v slurmctld >/dev/null && command -v slurmd >/dev/null && command -v munged >/dev/null && exit 0
if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
    echo "SLURM is absent and cannot be installed here: that takes root and apt-get" >&2
    exit 77
fi
# The daemons that the packages would start are none of ours.
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod 755 "$policy"
    trap 'rm -f "$policy"' EXIT
fi
export DEBIAN_FRONTEND=noninteractive
(timeout 120 apt-get update -qq && timeout 300 apt-get install -y -qq --no-install-recommends slurm-wlm munge) >/dev/null || {
    echo "SLURM is absent and apt-get could not install it" >&2
    exit 77
}
