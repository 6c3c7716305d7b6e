#!/usr/bin/env bash
# Assembles the npm package in build/npm and packs it into dist; prints the tarball's path.
#
# The modules are copied as they are. tsc writes their types beside them, so that a map
# leads an editor from each declaration to its line in the module.
set -euo pipefail
cd "$(dirname "$0")/.."

built=build/npm
rm -rf $built
mkdir -p $built/core dist
cp src/thkmesh/web/*.js $built
cp src/thkmesh/web/core/*.js $built/core
cp npm/package.json npm/README.md LICENSE $built
npx --no-install tsc --project npm/tsconfig.json
echo "dist/$(npm pack ./$built --pack-destination dist --ignore-scripts --loglevel=error)"
