// kubebed is a Kubernetes cluster for tests in one program: etcd, kube-apiserver,
// kube-controller-manager and a small kubelet, each a subcommand, `up` to run all of them, and
// oracles that say how the apiserver reads a request or an object.
package main

import (
	"fmt"
	"os"

	"go.etcd.io/etcd/server/v3/etcdmain"
	"k8s.io/component-base/cli"
	_ "k8s.io/component-base/metrics/prometheus/clientgo"
	_ "k8s.io/component-base/metrics/prometheus/version"
	apiserver "k8s.io/kubernetes/cmd/kube-apiserver/app"
	controllers "k8s.io/kubernetes/cmd/kube-controller-manager/app"
)

const usage = `kubebed up --data FOLDER     brings a cluster up, until SIGTERM; prints where
kubebed requestinfo          stdin: METHOD HEX-OF-TARGET; stdout: a line of JSON each
kubebed objects              stdin: hex of a protobuf object; stdout: a line of JSON each
kubebed etcd | apiserver | controllers | kubelet   the parts, with flags of their own
`

func main() {
	if len(os.Args) < 2 {
		fmt.Fprint(os.Stderr, usage)
		os.Exit(2)
	}
	name := os.Args[1]
	os.Args = append([]string{"kubebed-" + name}, os.Args[2:]...)
	var err error
	switch name {
	case "etcd":
		etcdmain.Main(os.Args)
	case "apiserver":
		os.Exit(cli.Run(apiserver.NewAPIServerCommand()))
	case "controllers":
		os.Exit(cli.Run(controllers.NewControllerManagerCommand()))
	case "kubelet":
		err = kubeletMain(os.Args[1:])
	case "up":
		err = upMain(os.Args[1:])
	case "requestinfo":
		err = requestInfoMain(os.Stdin, os.Stdout)
	case "objects":
		err = objectsMain(os.Stdin, os.Stdout)
	default:
		fmt.Fprint(os.Stderr, usage)
		os.Exit(2)
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "kubebed %s: %v\n", name, err)
		os.Exit(1)
	}
}
