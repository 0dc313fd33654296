#!/bin/sh
# Builds the test distribution: build.sh VERSION OUT, for instance build.sh v1.34.1+k3s1 ./k3s
# A second version only links again, so an upgrade can be tested without a second cold build.
set -eu

if [ $# -ne 2 ]; then
    echo "usage: $0 VERSION OUT    (VERSION like v1.34.1+k3s1)" >&2
    exit 2
fi
version=$1
case $2 in
/*) out=$2 ;;
*) out=$PWD/$2 ;;
esac
cd "$(dirname "$0")"

case $version in
v[0-9]*.[0-9]*.[0-9]*+k3s[0-9]*) ;;
*)
    echo "$0: '$version' is not a K3S version: v<major>.<minor>.<patch>+k3s<n> is expected" >&2
    exit 2
    ;;
esac
command -v go >/dev/null || {
    echo "$0: go is not on PATH; install Go 1.24 or newer" >&2
    exit 1
}

number=${version#v}
major=${number%%.*}
rest=${number#*.}
minor=${rest%%.*}
flags="-s -w -X main.version=$version"
for package in k8s.io/component-base/version k8s.io/client-go/pkg/version; do
    flags="$flags -X $package.gitVersion=$version -X $package.gitMajor=$major -X $package.gitMinor=$minor"
    flags="$flags -X $package.gitTreeState=clean"
done
# -v says the name of each package as its turn comes: that is how a build shows that it gets further.
CGO_ENABLED=0 nice -n 10 go build -v -trimpath -ldflags "$flags" -o "$out" .
