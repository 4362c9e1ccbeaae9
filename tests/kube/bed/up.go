package main

// Brings a cluster up in a folder: certificates, tokens, kubeconfigs, the four processes on free
// ports of loopback, and who may do what in it. A process that dies is started again, so that a
// test may kill one. SIGTERM, SIGINT or the end of stdin (with --stdin) stop everything.

import (
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	rbac "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
)

// Pods, services and nodes refuse proxies to loopback, so the node has an address of its own, on
// the device lo alone (RFC 2544, for tests).
const nodeAddress = "198.18.0.10"

// What a test has to know; written to bed.json.
type bed struct {
	Server     string            `json:"server"`
	CA         string            `json:"ca"`
	Kubeconfig string            `json:"kubeconfig"`
	AuditLog   string            `json:"audit_log"`
	Node       string            `json:"node_address"`
	Tokens     map[string]string `json:"tokens"`
	Pids       map[string]int    `json:"pids"`
	Notes      []string          `json:"notes,omitempty"`
}

type up struct {
	folder      string
	ports       map[string]int
	bed         bed
	more        []string // flags of the apiserver
	controllers bool
	lock        sync.Mutex
	stopping    bool
	running     map[string]*exec.Cmd
	ends        sync.WaitGroup
}

// Who there is: user, groups. weir is the impersonator; the others are for the direct arm.
var people = map[string][]string{
	"weir": {"weir-gateways"}, "alice": {"sre"}, "bob": {"viewers"}, "agent": {"agents"},
}

func upMain(args []string) error {
	flags := flag.NewFlagSet("up", flag.ExitOnError)
	folder := flags.String("data", "", "data folder; made if it is missing, used again if it is a bed's")
	stdin := flags.Bool("stdin", false, "stop at the end of stdin")
	controllers := flags.Bool("controllers", true, "run kube-controller-manager")
	gates := flags.String("feature-gates", "", "of the apiserver")
	emulated := flags.String("emulated-version", "", "of the apiserver, e.g. 1.34")
	flags.Parse(args)
	if *folder == "" {
		return errors.New("needs --data FOLDER")
	}
	absolute, err := filepath.Abs(*folder)
	if err != nil {
		return err
	}
	u := &up{
		folder: absolute, controllers: *controllers,
		running: map[string]*exec.Cmd{}, ports: map[string]int{},
	}
	if *gates != "" {
		u.more = append(u.more, "--feature-gates="+*gates)
	}
	if *emulated != "" {
		u.more = append(u.more, "--emulated-version="+*emulated)
	}
	stop := make(chan os.Signal, 4)
	signal.Notify(stop, syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP)
	if *stdin {
		go func() {
			io.Copy(io.Discard, os.Stdin)
			stop <- syscall.SIGTERM
		}()
	}
	failed := make(chan error, 1)
	go func() {
		if err := u.begin(); err != nil {
			failed <- err
			return
		}
		fmt.Printf("ready %s\n", filepath.Join(u.folder, "bed.json"))
	}()
	select {
	case <-stop:
	case err = <-failed:
	}
	u.stop()
	return err
}

func (u *up) path(name string) string { return filepath.Join(u.folder, name) }

func (u *up) begin() error {
	if err := os.MkdirAll(u.folder, 0o755); err != nil {
		return err
	}
	u.bed.Node = address(&u.bed)
	if _, err := os.Stat(u.path("ca.crt")); err != nil {
		if err := u.certificates(); err != nil {
			return err
		}
	}
	if err := u.files(); err != nil {
		return err
	}
	u.supervise("etcd", u.etcd())
	if err := u.until("etcd", 30*time.Second, func() error {
		connection, err := net.Dial("tcp", u.local("etcd"))
		if err == nil {
			connection.Close()
		}
		return err
	}); err != nil {
		return err
	}
	u.supervise("apiserver", u.apiserver())
	config, err := clientcmd.BuildConfigFromFlags("", u.bed.Kubeconfig)
	if err != nil {
		return err
	}
	config.QPS, config.Burst, config.Timeout = 200, 400, 10*time.Second
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return err
	}
	if err := u.until("apiserver", 90*time.Second, func() error {
		return client.RESTClient().Get().AbsPath("/readyz").Do(background).Error()
	}); err != nil {
		return err
	}
	u.supervise("kubelet", u.kubelet())
	if u.controllers {
		u.supervise("controllers", u.manager())
	}
	if err := u.until("rights", 30*time.Second, func() error { return grant(client) }); err != nil {
		return err
	}
	if err := u.until("node", 60*time.Second, func() error { return u.settled(client) }); err != nil {
		return err
	}
	return u.write()
}

// settled: the node is there, and the controllers are at work.
func (u *up) settled(client kubernetes.Interface) error {
	if _, err := client.CoreV1().Nodes().Get(background, "bed", metav1.GetOptions{}); err != nil {
		return err
	}
	connection, err := net.Dial("tcp", net.JoinHostPort(u.bed.Node, strconv.Itoa(u.ports["kubelet"])))
	if err != nil {
		return err
	}
	connection.Close()
	if !u.controllers {
		return nil
	}
	_, err = client.CoreV1().ServiceAccounts("default").Get(background, "default", metav1.GetOptions{})
	return err
}

// address finds or adds the node's address; without the right to it, loopback has to do.
func address(b *bed) string {
	there := func() bool {
		listener, err := net.Listen("tcp", net.JoinHostPort(nodeAddress, "0"))
		if err == nil {
			listener.Close()
		}
		return err == nil
	}
	if there() {
		return nodeAddress
	}
	out, err := exec.Command("ip", "address", "add", nodeAddress+"/32", "dev", "lo").CombinedOutput()
	if err == nil && there() {
		return nodeAddress
	}
	note := fmt.Sprintf("no %s on lo (%v %s): proxies to pods, services and nodes are refused", nodeAddress, err, bytes.TrimSpace(out))
	b.Notes = append(b.Notes, note)
	fmt.Fprintln(os.Stderr, note)
	return "127.0.0.1"
}

func (u *up) certificates() error {
	ca, err := newAuthority(u.folder, "ca")
	if err != nil {
		return err
	}
	front, err := newAuthority(u.folder, "front-ca")
	if err != nil {
		return err
	}
	server := []string{"127.0.0.1", "localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc", "10.96.0.1", nodeAddress}
	return errors.Join(
		ca.issue(u.folder, leaf{"server", "kube-apiserver", nil, server}),
		ca.issue(u.folder, leaf{"kubelet", "bed", nil, []string{nodeAddress, "127.0.0.1", "bed"}}),
		ca.issue(u.folder, leaf{"kubelet-client", "kube-apiserver-kubelet-client", []string{"system:masters"}, nil}),
		ca.issue(u.folder, leaf{"admin", "admin", []string{"system:masters"}, nil}),
		// With one identity for all controllers, which needs the rights of all of them.
		ca.issue(u.folder, leaf{
			"controllers", "system:kube-controller-manager", []string{"system:masters"}, nil,
		}),
		front.issue(u.folder, leaf{"front", "front", nil, nil}),
		newSigner(u.folder, "sa"),
	)
}

func secret() string {
	bytes := make([]byte, 16)
	if _, err := rand.Read(bytes); err != nil {
		panic(err)
	}
	return hex.EncodeToString(bytes)
}

const audit = `apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
- level: RequestResponse
`

func (u *up) files() error {
	u.bed.Tokens = map[string]string{}
	known, err := os.ReadFile(u.path("tokens.json"))
	if err == nil {
		err = json.Unmarshal(known, &u.bed.Tokens)
	} else {
		for name := range people {
			u.bed.Tokens[name] = secret()
		}
		known, err = json.Marshal(u.bed.Tokens)
		err = errors.Join(err, os.WriteFile(u.path("tokens.json"), known, 0o600))
	}
	if err != nil {
		return err
	}
	var csv strings.Builder
	for name, groups := range people {
		fmt.Fprintf(&csv, "%s,%s,uid-%s,%q\n", u.bed.Tokens[name], name, name, strings.Join(groups, ","))
	}
	for _, name := range []string{"etcd", "peer", "apiserver", "kubelet", "controllers"} {
		if u.ports[name], err = freePort(); err != nil {
			return err
		}
	}
	u.bed.Server = "https://" + u.local("apiserver")
	u.bed.CA, u.bed.Kubeconfig, u.bed.AuditLog = u.path("ca.crt"), u.path("admin.kubeconfig"), u.path("audit.log")
	err = errors.Join(
		os.WriteFile(u.path("tokens.csv"), []byte(csv.String()), 0o600),
		os.WriteFile(u.path("audit.yaml"), []byte(audit), 0o600),
		u.kubeconfig("admin", u.certificate("admin")),
		u.kubeconfig("controllers", u.certificate("controllers")),
	)
	for name, token := range u.bed.Tokens {
		err = errors.Join(err, u.kubeconfig(name, map[string]string{"token": token}))
	}
	return err
}

func (u *up) certificate(name string) map[string]string {
	return map[string]string{"client-certificate": u.path(name + ".crt"), "client-key": u.path(name + ".key")}
}

// kubeconfig writes NAME.kubeconfig. JSON is YAML.
func (u *up) kubeconfig(name string, user map[string]string) error {
	config := map[string]any{
		"apiVersion": "v1", "kind": "Config", "current-context": "bed",
		"clusters": []any{map[string]any{"name": "bed", "cluster": map[string]string{"server": u.bed.Server, "certificate-authority": u.bed.CA}}},
		"users":    []any{map[string]any{"name": name, "user": user}},
		"contexts": []any{map[string]any{"name": "bed", "context": map[string]string{"cluster": "bed", "user": name}}},
	}
	text, err := json.MarshalIndent(config, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(u.path(name+".kubeconfig"), text, 0o600)
}

func freePort() (int, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer listener.Close()
	return listener.Addr().(*net.TCPAddr).Port, nil
}

func (u *up) local(name string) string { return fmt.Sprintf("127.0.0.1:%d", u.ports[name]) }

func (u *up) etcd() []string {
	client, peer := "http://"+u.local("etcd"), "http://"+u.local("peer")
	return []string{"--data-dir", u.path("etcd"), "--unsafe-no-fsync", "--log-level", "warn",
		"--listen-client-urls", client, "--advertise-client-urls", client, "--listen-peer-urls", peer,
		"--initial-advertise-peer-urls", peer, "--initial-cluster", "default=" + peer}
}

func (u *up) apiserver() []string {
	flags := []string{"--etcd-servers=http://" + u.local("etcd"), "--bind-address=127.0.0.1",
		"--secure-port=" + strconv.Itoa(u.ports["apiserver"]), "--advertise-address=" + nodeAddress,
		"--endpoint-reconciler-type=none", "--service-cluster-ip-range=10.96.0.0/16",
		"--authorization-mode=Node,RBAC", "--service-account-issuer=https://bed",
		"--disable-admission-plugins=ServiceAccount", "--allow-privileged",
		"--kubelet-preferred-address-types=InternalIP", "--requestheader-allowed-names=front",
		"--requestheader-username-headers=X-Remote-User", "--enable-aggregator-routing",
		"--goaway-chance=0.02", "--audit-log-mode=blocking-strict"}
	for _, pair := range [][2]string{
		{"tls-cert-file", "server.crt"}, {"tls-private-key-file", "server.key"}, {"client-ca-file", "ca.crt"},
		{"service-account-key-file", "sa.pub"}, {"service-account-signing-key-file", "sa.key"},
		{"kubelet-client-certificate", "kubelet-client.crt"}, {"kubelet-client-key", "kubelet-client.key"},
		{"kubelet-certificate-authority", "ca.crt"}, {"requestheader-client-ca-file", "front-ca.crt"},
		{"proxy-client-cert-file", "front.crt"}, {"proxy-client-key-file", "front.key"},
		{"token-auth-file", "tokens.csv"}, {"audit-policy-file", "audit.yaml"}, {"audit-log-path", "audit.log"},
		{"cert-dir", "apiserver"},
	} {
		flags = append(flags, "--"+pair[0]+"="+u.path(pair[1]))
	}
	return append(flags, u.more...)
}

func (u *up) kubelet() []string {
	return []string{"--kubeconfig", u.bed.Kubeconfig, "--address", u.bed.Node, "--port", strconv.Itoa(u.ports["kubelet"]),
		"--data", u.path("kubelet"), "--tls-cert-file", u.path("kubelet.crt"), "--tls-private-key-file", u.path("kubelet.key"),
		"--client-ca-file", u.path("ca.crt")}
}

func (u *up) manager() []string {
	return []string{"--kubeconfig=" + u.path("controllers.kubeconfig"), "--leader-elect=false",
		"--service-account-private-key-file=" + u.path("sa.key"), "--root-ca-file=" + u.path("ca.crt"),
		"--use-service-account-credentials=false", "--bind-address=127.0.0.1",
		"--secure-port=" + strconv.Itoa(u.ports["controllers"]), "--cert-dir=" + u.path("controllers"),
		"--controllers=*,-node-lifecycle-controller,-taint-eviction-controller,-node-ipam-controller"}
}

// supervise starts this program with a subcommand, and again whenever it ends by itself.
func (u *up) supervise(name string, flags []string) {
	u.ends.Add(1)
	began := make(chan struct{})
	go func() {
		defer u.ends.Done()
		first := true
		for {
			command, err := u.spawn(name, flags)
			if first {
				close(began)
				first = false
			}
			if err != nil {
				fmt.Fprintf(os.Stderr, "kubebed: %s does not start: %v\n", name, err)
				return
			}
			if command == nil {
				return
			}
			err = command.Wait()
			u.lock.Lock()
			stopping := u.stopping
			u.lock.Unlock()
			if stopping {
				return
			}
			fmt.Fprintf(os.Stderr, "kubebed: %s ended (%v), once more\n", name, err)
			time.Sleep(time.Second)
		}
	}()
	<-began
}

func (u *up) spawn(name string, flags []string) (*exec.Cmd, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	log, err := os.OpenFile(u.path(name+".log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	command := exec.Command(self, append([]string{name}, flags...)...)
	command.Stdout, command.Stderr, command.Dir = log, log, u.folder
	command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	u.lock.Lock()
	defer u.lock.Unlock()
	if u.stopping {
		return nil, nil
	}
	if err := command.Start(); err != nil {
		return nil, err
	}
	u.running[name] = command
	if u.bed.Pids != nil {
		u.bed.Pids[name] = command.Process.Pid
		go u.write()
	}
	return command, nil
}

// write makes bed.json, whole or not at all.
func (u *up) write() error {
	u.lock.Lock()
	defer u.lock.Unlock()
	u.bed.Pids = map[string]int{}
	for name, command := range u.running {
		u.bed.Pids[name] = command.Process.Pid
	}
	text, err := json.MarshalIndent(u.bed, "", "  ")
	if err != nil {
		return err
	}
	if err := os.WriteFile(u.path("bed.json.new"), append(text, '\n'), 0o600); err != nil {
		return err
	}
	return os.Rename(u.path("bed.json.new"), u.path("bed.json"))
}

func (u *up) until(what string, limit time.Duration, try func() error) error {
	end := time.Now().Add(limit)
	for {
		err := try()
		if err == nil {
			return nil
		}
		if time.Now().After(end) {
			return fmt.Errorf("%s is not ready after %s: %w; see %s", what, limit, err, u.path("*.log"))
		}
		time.Sleep(100 * time.Millisecond)
	}
}

// stop ends the clients first, etcd last, each with SIGTERM and, where that does not do, SIGKILL.
func (u *up) stop() {
	u.lock.Lock()
	u.stopping = true
	u.lock.Unlock()
	for _, name := range []string{"controllers", "kubelet", "apiserver", "etcd"} {
		u.lock.Lock()
		command := u.running[name]
		u.lock.Unlock()
		if command == nil {
			continue
		}
		pid := command.Process.Pid
		syscall.Kill(pid, syscall.SIGTERM)
		end := time.Now().Add(3 * time.Second)
		// An apiserver waits for its watches, which are those of the processes that ended.
		for syscall.Kill(pid, 0) == nil && time.Now().Before(end) {
			time.Sleep(20 * time.Millisecond)
		}
		syscall.Kill(-pid, syscall.SIGKILL)
	}
	u.ends.Wait()
}

// grant: weir may impersonate and nothing else; the groups of the people may what their names say.
func grant(client kubernetes.Interface) error {
	impersonator := &rbac.ClusterRole{
		ObjectMeta: metav1.ObjectMeta{Name: "weir-impersonator"},
		Rules: []rbac.PolicyRule{
			{APIGroups: []string{""}, Resources: []string{"users", "groups", "serviceaccounts"}, Verbs: []string{"impersonate"}},
			{APIGroups: []string{"authentication.k8s.io"}, Resources: []string{"uids", "userextras/weir.dev/session"}, Verbs: []string{"impersonate"}},
		},
	}
	_, err := client.RbacV1().ClusterRoles().Create(background, impersonator, metav1.CreateOptions{})
	if err != nil && !apierrors.IsAlreadyExists(err) {
		return err
	}
	for group, role := range map[string]string{
		"weir-gateways": "weir-impersonator", "sre": "cluster-admin", "viewers": "view", "agents": "edit",
	} {
		binding := &rbac.ClusterRoleBinding{
			ObjectMeta: metav1.ObjectMeta{Name: "bed-" + group},
			RoleRef:    rbac.RoleRef{APIGroup: rbac.GroupName, Kind: "ClusterRole", Name: role},
			Subjects:   []rbac.Subject{{Kind: rbac.GroupKind, APIGroup: rbac.GroupName, Name: group}},
		}
		bindings := client.RbacV1().ClusterRoleBindings()
		_, err := bindings.Create(background, binding, metav1.CreateOptions{})
		if err != nil && !apierrors.IsAlreadyExists(err) {
			return err
		}
	}
	return nil
}
