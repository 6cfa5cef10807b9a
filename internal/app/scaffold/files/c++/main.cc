#include <iostream>
#include <string>
#include <vector>

// Greets everybody whom the arguments name.
int main(int argc, char **argv)
{
	std::vector<std::string> names(argv + 1, argv + argc);
	if (names.empty())
		names.emplace_back("world");
	for (const auto &name : names)
		std::cout << "Hello, " << name << "!\n";
	return std::cout.flush() ? 0 : 1;
}
