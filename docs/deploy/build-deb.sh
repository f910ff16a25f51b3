#!/usr/bin/env bash
# Packs programs that are built already into two Debian packages, one for a station and one for a monitor:
#   docs/deploy/build-deb.sh target/release dist
# Needs dpkg-deb. The same programs and the same SOURCE_DATE_EPOCH give the same bytes.
set -euo pipefail

[ $# = 2 ] || { echo "usage: $0 PROGRAMS OUTPUT" >&2; exit 2; }
programs=$(realpath "$1")
mkdir -p "$2"
output=$(realpath "$2")
cd "$(dirname "$0")"

version=$(sed -n 's/^version = "\(.*\)"$/\1/p' ../../Cargo.toml | head -n 1)
architecture=$(dpkg --print-architecture)
export SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct)}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
# Whatever the umask is: what is packed is read by everybody.
umask 022

# package NAME DESCRIPTION PROGRAM…
package() {
  local name=$1 description=$2 root=$work/$1 program
  shift 2
  mkdir "$root"
  for program in "$@"; do
    [ -x "$programs/$program" ] || { echo "$programs has no program $program" >&2; exit 1; }
    install -D -m 755 "$programs/$program" "$root/usr/bin/$program"
  done
  install -D -m 644 "$name.service" "$root/usr/lib/systemd/system/$name.service"
  install -D -m 644 ../../LICENSE-MIT "$root/usr/share/doc/$name/copyright"
  printf 'u %s - "%s" /var/lib/%s\n' "$name" "$description" "$name" |
    install -D -m 644 /dev/stdin "$root/usr/lib/sysusers.d/$name.conf"
  install -D -m 644 /dev/stdin "$root/DEBIAN/control" <<CONTROL
Package: $name
Version: $version
Architecture: $architecture
Maintainer: Z Monitor provisioning <provisioning@z-monitor.example>
Depends: libc6, libgcc-s1, systemd
Section: admin
Priority: optional
Description: $description
CONTROL
  # The user comes with the package and stays when it goes: so do its files. Nothing is started that
  # nobody has set up.
  install -D -m 755 /dev/stdin "$root/DEBIAN/postinst" <<POSTINST
#!/bin/sh
set -e
systemd-sysusers $name.conf
if [ -d /run/systemd/system ]; then systemctl daemon-reload; fi
POSTINST
  find "$root" -exec touch --no-dereference --date="@$SOURCE_DATE_EPOCH" {} +
  dpkg-deb --root-owner-group --build "$root" "$output/${name}_${version}_$architecture.deb"
}

package zmon-station "Z Monitor Central Station" mock-central-station zmon
package zmon-device "Z Monitor provisioning of a bedside monitor" device
