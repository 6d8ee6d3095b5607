package interop;
final class MqAdmin { static void add(Cases cases) {} }
