package pocketgan.effects

import java.io.ByteArrayOutputStream

/** Element types of onnx.proto's TensorProto. */
internal enum class OnnxType(val number: Int) { FLOAT32(1), UINT8(2), FLOAT16(10) }

/** The bytes of a model that applies one operator to each number of its input x; its output is y (onnx.proto, IR 8). */
internal fun onnxModel(
    operator: String, shape: List<Long>, type: OnnxType = OnnxType.FLOAT32, opset: Long = 17,
): ByteArray {
    val node = message { text(1, "x"); text(2, "y"); text(4, operator) }
    val graph = message {
        bytes(1, node)
        text(2, "graph")
        bytes(11, value("x", shape, type))
        bytes(12, value("y", shape, type))
    }
    return message {
        number(1, 8)
        bytes(7, graph)
        bytes(8, message { number(2, opset) })
    }
}

private fun value(name: String, shape: List<Long>, type: OnnxType): ByteArray {
    val dimensions = message { for (length in shape) bytes(1, message { number(1, length) }) }
    val tensor = message { number(1, type.number.toLong()); bytes(2, dimensions) }
    return message { text(1, name); bytes(2, message { bytes(1, tensor) }) }
}

private fun message(fill: Message.() -> Unit): ByteArray = Message().apply(fill).out.toByteArray()

/** The wire format of protocol buffers. */
private class Message {
    val out = ByteArrayOutputStream()

    fun number(field: Int, value: Long) {
        varint((field shl 3).toLong())
        varint(value)
    }

    fun text(field: Int, value: String) = bytes(field, value.toByteArray())

    fun bytes(field: Int, value: ByteArray) {
        varint((field shl 3 or 2).toLong())
        varint(value.size.toLong())
        out.write(value)
    }

    private fun varint(value: Long) {
        var left = value
        while (left > 0x7f) {
            out.write((left and 0x7f or 0x80).toInt())
            left = left ushr 7
        }
        out.write(left.toInt())
    }
}
