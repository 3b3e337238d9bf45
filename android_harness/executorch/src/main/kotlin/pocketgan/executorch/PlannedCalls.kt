package pocketgan.executorch

import java.nio.ByteBuffer
import java.nio.ByteOrder
import java.nio.channels.FileChannel
import java.nio.file.Path

/** What ExecuTorch's own operators are called here: the name of the exporter's target that has no backend. */
internal const val OWN_OPERATORS = "portable"

// The fields of executorch/schema/program.fbs, by their number, that say what a program calls.
private const val PROGRAM_PLANS = 1
private const val PLAN_NAME = 0
private const val PLAN_CHAINS = 5
private const val PLAN_DELEGATES = 7
private const val DELEGATE_ID = 0
private const val CHAIN_INSTRUCTIONS = 2
private const val INSTRUCTION_KIND = 0
private const val INSTRUCTION_CALL = 1
private const val KERNEL_CALL = 1
private const val DELEGATE_CALL = 2
private const val CALL_DELEGATE = 0

/**
 * How often the method [method] of a `.pte` calls each backend, and ExecuTorch's own operators, by the plan in the file;
 * null where there is no such method. What the runtime does is what the plan says: it has no choice.
 *
 * @throws RuntimeException the file is none.
 */
internal fun plannedCalls(file: Path, method: String): Map<String, Long>? =
    FileChannel.open(file).use { channel ->
        val content = channel.map(FileChannel.MapMode.READ_ONLY, 0, channel.size()).order(ByteOrder.LITTLE_ENDIAN)
        val program = Table(content, content.getInt(0))
        program.tables(PROGRAM_PLANS).firstOrNull { it.text(PLAN_NAME) == method }?.let(::callsOf)
    }

private fun callsOf(plan: Table): Map<String, Long> {
    val delegates = plan.tables(PLAN_DELEGATES).map { it.text(DELEGATE_ID) }
    val calls = HashMap<String, Long>()
    for (instruction in plan.tables(PLAN_CHAINS).flatMap { it.tables(CHAIN_INSTRUCTIONS) }) {
        val called = when (instruction.byte(INSTRUCTION_KIND)) {
            KERNEL_CALL -> OWN_OPERATORS
            DELEGATE_CALL -> delegates[instruction.table(INSTRUCTION_CALL)!!.int(CALL_DELEGATE)]
            else -> continue // moves within the program
        }
        calls[called] = (calls[called] ?: 0) + 1
    }
    return calls
}

/** A table of a FlatBuffer: where its fields lie stands in another place, its vtable; fields may be absent. */
private class Table(private val content: ByteBuffer, private val at: Int) {
    fun int(field: Int): Int = place(field)?.let(content::getInt) ?: 0

    fun byte(field: Int): Int = place(field)?.let { content.get(it).toInt() and 0xff } ?: 0

    fun table(field: Int): Table? = place(field)?.let { Table(content, followed(it)) }

    fun text(field: Int): String {
        val start = followed(place(field) ?: return "")
        val bytes = ByteArray(content.getInt(start)) { content.get(start + Int.SIZE_BYTES + it) }
        return String(bytes)
    }

    fun tables(field: Int): List<Table> {
        val start = followed(place(field) ?: return emptyList())
        return List(content.getInt(start)) { Table(content, followed(start + Int.SIZE_BYTES * (it + 1))) }
    }

    private fun followed(place: Int): Int = place + content.getInt(place)

    private fun place(field: Int): Int? {
        val vtable = at - content.getInt(at)
        val entry = 2 * Short.SIZE_BYTES + Short.SIZE_BYTES * field
        if (entry >= content.getShort(vtable)) return null
        return content.getShort(vtable + entry).toInt().takeIf { it != 0 }?.let { at + it }
    }
}
