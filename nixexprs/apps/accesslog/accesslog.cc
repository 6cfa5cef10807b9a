/* accesslog: sums up the log of a web server, in the common log format, that comes on stdin.
 *
 * Shows: C++ in a unikernel, with the libstdc++.a that Debian has compiled for ordinary processes. Threads share the lines.
 *        Each counts in a thread_local object whose destructor adds to the sum, so a destructor that did not run would be
 *        missing from it. A bad line is an exception that climbs out of several functions and then from one thread to another.
 * Run:   ukl run accesslog <access.log         as many threads as the guest has CPUs
 *        ukl run accesslog -- 8 <access.log    eight of them
 * See:   requests, hosts, bytes; requests by status; the five paths that were asked for most. A bad line is named, and the
 *        status is 1. LANG chooses how numbers are written, if the guest has that locale; otherwise it is 1,234.5.
 */
#include <algorithm>
#include <cstdlib>
#include <exception>
#include <iomanip>
#include <iostream>
#include <locale>
#include <map>
#include <mutex>
#include <regex>
#include <set>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

namespace {

struct Tally {
	unsigned long requests = 0, bytes = 0;
	std::set<std::string> hosts;
	std::map<int, unsigned long> statuses;
	std::map<std::string, unsigned long> paths;

	void add(const Tally &other)
	{
		requests += other.requests;
		bytes += other.bytes;
		hosts.insert(other.hosts.begin(), other.hosts.end());
		for (const auto &[status, n] : other.statuses)
			statuses[status] += n;
		for (const auto &[path, n] : other.paths)
			paths[path] += n;
	}
};

/* The sum of all threads that have ended. */
struct Sum {
	std::mutex lock;
	Tally tally;
} sum;

/* What one thread has counted. It reaches the sum when the thread ends, in whatever way. */
struct Share : Tally {
	~Share()
	{
		std::lock_guard hold(sum.lock);
		sum.tally.add(*this);
	}
};
thread_local Share share;

int status_of(const std::string &text)
{
	int status = std::stoi(text);

	if (status < 100 || status > 599)
		throw std::out_of_range("no HTTP status: " + text);
	return status;
}

void count(const std::string &line)
{
	static const std::regex format(R"re((\S+) \S+ \S+ \[[^\]]+\] "([A-Z]+) (\S+)[^"]*" (\S+) (\d+|-))re");
	std::smatch part;

	if (!std::regex_match(line, part, format))
		throw std::invalid_argument("not in the common log format");
	int status = status_of(part[4]);

	share.requests++;
	share.bytes += part[5] == "-" ? 0 : std::stoul(part[5]);
	share.hosts.insert(part[1]);
	share.statuses[status]++;
	share.paths[part[3]]++;
}

/* Counts every STEPth line from FIRST on. What was thrown says which line it was. */
void count_some(const std::vector<std::string> &lines, size_t first, size_t step)
{
	for (size_t i = first; i < lines.size(); i += step) {
		try {
			count(lines[i]);
		} catch (...) {
			std::throw_with_nested(std::runtime_error("line " + std::to_string(i + 1)));
		}
	}
}

/* A message with those that it was nested around. */
std::string explain(const std::exception &e)
{
	try {
		std::rethrow_if_nested(e);
	} catch (const std::exception &inner) {
		return e.what() + (": " + explain(inner));
	}
	return e.what();
}

struct Thousands : std::numpunct<char> {
	std::string do_grouping() const override { return "\3"; }
	char do_thousands_sep() const override { return ','; }
};

std::locale chosen_locale()
{
	try {
		std::locale user("");

		if (!std::use_facet<std::numpunct<char>>(user).grouping().empty())
			return user;
	} catch (const std::runtime_error &) {
		std::cerr << "accesslog: this system has no locale " << std::getenv("LANG") << '\n';
	}
	return std::locale(std::locale::classic(), new Thousands);
}

void print(const Tally &t)
{
	std::vector<std::pair<std::string, unsigned long>> paths(t.paths.begin(), t.paths.end());

	std::stable_sort(paths.begin(), paths.end(), [](auto &a, auto &b) { return a.second > b.second; });
	if (paths.size() > 5)
		paths.resize(5);
	std::cout.imbue(chosen_locale());
	std::cout << t.requests << " requests by " << t.hosts.size() << " hosts, " << t.bytes << " bytes\n";
	std::cout << std::fixed << std::setprecision(1);
	for (const auto &[status, n] : t.statuses)
		std::cout << std::setw(6) << status << std::setw(10) << n << std::setw(7) << 100.0 * n / t.requests << " %\n";
	for (const auto &[path, n] : paths)
		std::cout << std::setw(10) << n << "  " << path << '\n';
}

/* Counts all lines in N threads. The first exception of any of them comes out when all have ended. */
void count_all(const std::vector<std::string> &lines, size_t n)
{
	std::vector<std::exception_ptr> failures(n);
	std::vector<std::thread> threads;

	for (size_t i = 0; i < n; i++)
		threads.emplace_back([&, i] {
			try {
				count_some(lines, i, n);
			} catch (...) {
				failures[i] = std::current_exception();
			}
		});
	for (auto &thread : threads)
		thread.join();
	for (const auto &failure : failures)
		if (failure)
			std::rethrow_exception(failure);
}

} // namespace

int main(int argc, char **argv)
{
	try {
		int threads = argc > 1 ? std::stoi(argv[1]) : std::max(1u, std::thread::hardware_concurrency());
		std::vector<std::string> lines;

		if (argc > 2 || threads < 1 || threads > 1000) {
			std::cerr << "usage: accesslog [THREADS] <LOG\n";
			return 2;
		}
		for (std::string line; std::getline(std::cin, line);)
			if (!line.empty())
				lines.push_back(line);
		count_all(lines, threads);
		print(sum.tally);
	} catch (const std::exception &e) {
		std::cerr << "accesslog: " << explain(e) << '\n';
		return 1;
	}
	return std::cout.flush() ? 0 : 1;
}
