package main

// A process of a pod: what a container runtime would run, as a child of this program in a folder
// of its own. Its output goes to a log that can be followed, and to whoever is attached.

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"time"

	"github.com/creack/pty"
	utilexec "k8s.io/utils/exec"
)

// A line of a log, without its end.
type line struct {
	at     time.Time
	stream string
	text   []byte
}

// What a process wrote: lines for logs, pieces for those attached.
type output struct {
	lock     sync.Mutex
	lines    []line
	partial  map[string][]byte
	changed  chan struct{}
	ended    bool
	attached map[chan piece]struct{}
}

type piece struct {
	stream string
	bytes  []byte
}

func newOutput() *output {
	return &output{
		partial:  map[string][]byte{},
		changed:  make(chan struct{}),
		attached: map[chan piece]struct{}{},
	}
}

func (o *output) signal() {
	close(o.changed)
	o.changed = make(chan struct{})
}

func (o *output) write(stream string, bytes []byte) {
	o.lock.Lock()
	defer o.lock.Unlock()
	now := time.Now()
	rest := append(o.partial[stream], bytes...)
	for {
		end := -1
		for i, b := range rest {
			if b == '\n' {
				end = i
				break
			}
		}
		if end < 0 {
			break
		}
		o.lines = append(o.lines, line{now, stream, append([]byte(nil), rest[:end]...)})
		rest = rest[end+1:]
	}
	o.partial[stream] = append([]byte(nil), rest...)
	for reader := range o.attached {
		select {
		case reader <- piece{stream, append([]byte(nil), bytes...)}:
		default: // who does not read loses output, as with a runtime that has no room
		}
	}
	o.signal()
}

func (o *output) end() {
	o.lock.Lock()
	defer o.lock.Unlock()
	for stream, rest := range o.partial {
		if len(rest) > 0 {
			o.lines = append(o.lines, line{time.Now(), stream, rest})
		}
	}
	o.partial = map[string][]byte{}
	o.ended = true
	for reader := range o.attached {
		close(reader)
	}
	o.attached = map[chan piece]struct{}{}
	o.signal()
}

func (o *output) attach() chan piece {
	o.lock.Lock()
	defer o.lock.Unlock()
	reader := make(chan piece, 4096)
	if o.ended {
		close(reader)
	} else {
		o.attached[reader] = struct{}{}
	}
	return reader
}

func (o *output) detach(reader chan piece) {
	o.lock.Lock()
	defer o.lock.Unlock()
	if _, there := o.attached[reader]; there {
		delete(o.attached, reader)
		close(reader)
	}
}

// from returns the lines behind the first n, whether more may come, and what tells of more.
func (o *output) from(n int) ([]line, bool, chan struct{}) {
	o.lock.Lock()
	defer o.lock.Unlock()
	return o.lines[n:], !o.ended, o.changed
}

type stream struct {
	name string
	to   *output
}

func (s stream) Write(bytes []byte) (int, error) {
	s.to.write(s.name, bytes)
	return len(bytes), nil
}

type process struct {
	command  *exec.Cmd
	terminal *os.File
	stdin    io.WriteCloser
	out      *output
	started  time.Time
	finished time.Time
	code     int32
	done     chan struct{}
}

type launch struct {
	argv   []string
	folder string
	env    []string
	stdin  bool
	tty    bool
}

func (l launch) command() *exec.Cmd {
	command := exec.Command(l.argv[0], l.argv[1:]...)
	command.Dir, command.Env = l.folder, l.env
	command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	// A grandchild that keeps the pipes open must not keep the container alive.
	command.WaitDelay = time.Second
	return command
}

func start(l launch) (*process, error) {
	p := &process{command: l.command(), out: newOutput(), done: make(chan struct{})}
	if l.tty {
		p.command.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
		terminal, err := pty.Start(p.command)
		if err != nil {
			return nil, err
		}
		p.terminal, p.stdin = terminal, terminal
	} else {
		p.command.Stdout, p.command.Stderr = stream{"stdout", p.out}, stream{"stderr", p.out}
		if l.stdin {
			stdin, err := p.command.StdinPipe()
			if err != nil {
				return nil, err
			}
			p.stdin = stdin
		}
		if err := p.command.Start(); err != nil {
			return nil, err
		}
	}
	p.started = time.Now()
	go p.wait()
	return p, nil
}

func (p *process) wait() {
	if p.terminal != nil {
		io.Copy(stream{"stdout", p.out}, p.terminal)
	}
	p.code = exitCode(p.command.Wait())
	if p.terminal != nil {
		p.terminal.Close()
	}
	p.finished = time.Now()
	p.out.end()
	close(p.done)
}

func (p *process) kill(signal syscall.Signal) {
	syscall.Kill(-p.command.Process.Pid, signal)
}

// stop asks, and after `grace` does not ask.
func (p *process) stop(grace time.Duration) {
	p.kill(syscall.SIGTERM)
	select {
	case <-p.done:
	case <-time.After(grace):
	}
	p.kill(syscall.SIGKILL)
	<-p.done
}

func exitCode(err error) int32 {
	var exit *exec.ExitError
	switch {
	case err == nil, errors.Is(err, exec.ErrWaitDelay):
		return 0
	case errors.As(err, &exit):
		if status, ok := exit.Sys().(syscall.WaitStatus); ok && status.Signaled() {
			return 128 + int32(status.Signal())
		}
		return int32(exit.ExitCode())
	default:
		return 128
	}
}

// run is exec: a process beside those of the container, between the streams of a client.
func run(l launch, in io.Reader, out, errOut io.WriteCloser, resize resizes) error {
	var err error
	if l.tty {
		err = runTerminal(l, in, out, resize)
	} else {
		err = runPipes(l, in, out, errOut)
	}
	var exit *exec.ExitError
	switch {
	case err == nil, errors.Is(err, exec.ErrWaitDelay):
		return nil
	case errors.As(err, &exit):
		code := int(exitCode(err))
		return utilexec.CodeExitError{Err: fmt.Errorf("command terminated with exit code %d", code), Code: code}
	case errors.Is(err, exec.ErrNotFound), errors.Is(err, os.ErrNotExist):
		return fmt.Errorf("exec failed: %q: executable file not found in $PATH", l.argv[0])
	default:
		return err
	}
}

func runPipes(l launch, in io.Reader, out, errOut io.WriteCloser) error {
	command := l.command()
	if out != nil {
		command.Stdout = out
	}
	if errOut != nil {
		command.Stderr = errOut
	}
	if in != nil {
		stdin, err := command.StdinPipe()
		if err != nil {
			return err
		}
		go func() {
			io.Copy(stdin, in)
			stdin.Close()
		}()
	}
	if err := command.Start(); err != nil {
		return err
	}
	return command.Wait()
}

func runTerminal(l launch, in io.Reader, out io.WriteCloser, resize resizes) error {
	command := l.command()
	command.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	terminal, err := pty.Start(command)
	if err != nil {
		return err
	}
	defer terminal.Close()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go sizes(ctx, terminal, resize)
	if in != nil {
		go func() {
			io.Copy(terminal, in)
			// The client has gone: its shell goes too, once it had time to end by itself.
			select {
			case <-ctx.Done():
			case <-time.After(time.Second):
				syscall.Kill(-command.Process.Pid, syscall.SIGHUP)
			}
		}()
	}
	if out != nil {
		io.Copy(out, terminal)
	} else {
		io.Copy(io.Discard, terminal)
	}
	return command.Wait()
}

func sizes(ctx context.Context, terminal *os.File, resize resizes) {
	for {
		select {
		case <-ctx.Done():
			return
		case size, more := <-resize:
			if !more {
				return
			}
			pty.Setsize(terminal, &pty.Winsize{Rows: size.Height, Cols: size.Width})
		}
	}
}

// follow is attach: the streams of a client and those of a process that runs already.
func (p *process) follow(in io.Reader, out, errOut io.WriteCloser, once bool, resize resizes) {
	pieces := p.out.attach()
	defer p.out.detach(pieces)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	if p.terminal != nil {
		go sizes(ctx, p.terminal, resize)
	}
	if in != nil && p.stdin != nil {
		go func() {
			io.Copy(p.stdin, in)
			if once {
				p.stdin.Close()
			}
		}()
	}
	for piece := range pieces {
		to := out
		if piece.stream == "stderr" {
			to = errOut
		}
		if to == nil {
			continue
		}
		if _, err := to.Write(piece.bytes); err != nil {
			return
		}
	}
}
