package interop;
final class Recreation { static void add(Cases cases) {} }
